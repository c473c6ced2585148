"""A server as the cloud that Azure's SDKs for Python work with."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

from alvara import Workspace
from alvara.wire import Client
from running import Server

ROLES_API = "2022-04-01"


@dataclass
class Cloud:
    """The server, a workspace in it, and a service principal that works there."""

    server: Server
    client: Client
    workspace: Workspace
    tenant: str
    client_id: str
    secret: str

    @property
    def group(self) -> str:
        return f"/subscriptions/{self.workspace.subscription_id}/resourceGroups/{self.workspace.resource_group}"

    def grant(self, principal: str, role: str) -> None:
        found = next(self.client.list(f"{self.group}/providers/Microsoft.Authorization/roleDefinitions", query={"$filter": f"roleName eq '{role}'"}, api_version=ROLES_API))
        body = {"properties": {"roleDefinitionId": found["id"], "principalId": principal, "principalType": "ServicePrincipal"}}
        self.client.arm("PUT", f"{self.group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", body, api_version=ROLES_API)


def claims(token: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
