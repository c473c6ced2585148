"""Workspaces: made, found, changed, and the place where everything else lies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from . import connection
from .connection import WorkspaceConnection
from .credential import TokenCredential
from .endpoints import Endpoints
from .errors import AlvaraError
from .wire import Client, Document, segment

if TYPE_CHECKING:
    from .compute import ComputeTarget
    from .environment import Environment

_GROUPS_API = "2021-04-01"
_PROVIDER = "/providers/Microsoft.MachineLearningServices/workspaces"


class Workspace:
    """A workspace that is there.

    ``auth`` is any credential, ``endpoints`` the server; without them both are found out (see Credential and Endpoints).
    ``workspace_name`` and ``name`` are the same; ``subscription_id`` may be left out where the environment or the sign-in has one.
    """

    def __init__(
        self, subscription_id: str | None = None, resource_group: str | None = None, workspace_name: str | None = None, auth: TokenCredential | None = None,
        *, endpoints: Endpoints | None = None, client: Client | None = None,
    ) -> None:
        self._client = client or Client(endpoints, auth)
        self.subscription_id = subscription_id or self._client.endpoints.subscription
        if not self.subscription_id or not resource_group or not workspace_name:
            raise AlvaraError("InvalidArgument", "subscription_id, resource_group and the workspace's name were expected")
        self.resource_group, self._name = resource_group, workspace_name
        self._document = self._client.arm("GET", self.path)

    @classmethod
    def get(
        cls, name: str, auth: TokenCredential | None = None, subscription_id: str | None = None, resource_group: str | None = None,
        *, endpoints: Endpoints | None = None, client: Client | None = None,
    ) -> "Workspace":
        """Finds a workspace; without resource_group among all that the caller may see."""
        client = client or Client(endpoints, auth)
        if resource_group is None:
            found = cls.list(subscription_id, client=client).get(name) or []
            if len(found) != 1:
                raise AlvaraError("ResourceNotFound", f"there are {len(found)} workspaces {name!r} that you may see; name the resource_group", 404)
            return found[0]
        return cls(subscription_id, resource_group, name, client=client)

    @classmethod
    def list(
        cls, subscription_id: str | None = None, auth: TokenCredential | None = None, resource_group: str | None = None,
        *, endpoints: Endpoints | None = None, client: Client | None = None,
    ) -> "dict[str, list[Workspace]]":
        """Gives the workspaces that the caller may see, by name."""
        client = client or Client(endpoints, auth)
        scope = f"/subscriptions/{subscription_id or client.endpoints.subscription}"
        if resource_group:
            scope += "/resourceGroups/" + segment(resource_group)
        found: dict[str, list[Workspace]] = {}
        for document in client.list(scope + _PROVIDER):
            if str(document.get("kind") or "").lower() != "featurestore":
                found.setdefault(document["name"], []).append(cls._of(document, client))
        return found

    @classmethod
    def create(
        cls, name: str, auth: TokenCredential | None = None, subscription_id: str | None = None, resource_group: str | None = None, location: str | None = None,
        create_resource_group: bool = True, sku: str = "basic", tags: Mapping[str, str] | None = None, friendly_name: str | None = None,
        storage_account: str | None = None, key_vault: str | None = None, app_insights: str | None = None, container_registry: str | None = None,
        adb_workspace: Any = None, primary_user_assigned_identity: str | None = None, cmk_keyvault: str | None = None, resource_cmk_uri: str | None = None,
        hbi_workspace: bool = False, default_cpu_compute_target: Any = None, default_gpu_compute_target: Any = None, private_endpoint_config: Any = None,
        private_endpoint_auto_approval: bool = True, exist_ok: bool = False, show_output: bool = True,
        user_assigned_identity_for_cmk_encryption: str | None = None, system_datastores_auth_mode: str | None = None, v1_legacy_mode: bool | None = None,
        description: str | None = None, *, endpoints: Endpoints | None = None, client: Client | None = None,
    ) -> "Workspace":
        """Makes a workspace with what it needs; resources that are named (by resource id) are used instead of made.

        Without location the group's is taken. With primary_user_assigned_identity the workspace works as that identity: everything
        else must be brought along then, and one refusal lists all that is missing. The container registry is made by the first
        operation that needs one.
        """
        _refuse(
            user_assigned_identity_for_cmk_encryption=user_assigned_identity_for_cmk_encryption, cmk_keyvault=cmk_keyvault, resource_cmk_uri=resource_cmk_uri,
            adb_workspace=adb_workspace, private_endpoint_config=private_endpoint_config, default_cpu_compute_target=default_cpu_compute_target,
            default_gpu_compute_target=default_gpu_compute_target,
        )
        client = client or Client(endpoints, auth)
        subscription_id = subscription_id or client.endpoints.subscription
        if not resource_group or not subscription_id:
            raise AlvaraError("InvalidArgument", "subscription_id and resource_group were expected")
        location = _group(client, subscription_id, resource_group, location, create_resource_group)
        given = {
            "storageAccount": storage_account, "keyVault": key_vault, "applicationInsights": app_insights, "containerRegistry": container_registry,
            "friendlyName": friendly_name, "description": description, "hbiWorkspace": hbi_workspace or None, "v1LegacyMode": v1_legacy_mode,
            "systemDatastoresAuthMode": system_datastores_auth_mode, "primaryUserAssignedIdentity": primary_user_assigned_identity,
        }
        body: Document = {"location": location, "kind": "Default", "properties": {k: v for k, v in given.items() if v is not None}}
        if tags:
            body["tags"] = dict(tags)
        if primary_user_assigned_identity:
            body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {primary_user_assigned_identity: {}}}
        path = f"/subscriptions/{subscription_id}/resourceGroups/{segment(resource_group)}{_PROVIDER}/{segment(name)}"
        try:
            there = client.arm("GET", path)
        except AlvaraError as error:
            if error.status != 404:
                raise
        else:
            if not exist_ok:
                raise AlvaraError("WorkspaceExists", f"the workspace {name} is there already; give exist_ok=True to use it", 409)
            return cls._of(there, client)
        if show_output:
            print(f"Creating workspace {name} …", flush=True)
        return cls._of(client.finish("PUT", path, body), client)

    @classmethod
    def from_config(
        cls, path: str | os.PathLike[str] | None = None, auth: TokenCredential | None = None, *, endpoints: Endpoints | None = None, client: Client | None = None
    ) -> "Workspace":
        """Reads ``config.json`` (subscription_id, resource_group, workspace_name): the file or folder that is named, else
        searched from the working folder upwards, also in ``.azureml`` and ``aml_config``."""
        file = _config_file(Path(path) if path is not None else None)
        given = json.loads(file.read_text())
        scope = given.get("Scope")
        if scope:
            parts = str(scope).strip("/").split("/")
            given = {"subscription_id": parts[1], "resource_group": parts[3], "workspace_name": parts[-1]}
        return cls(given.get("subscription_id"), given.get("resource_group"), given.get("workspace_name"), auth, endpoints=endpoints, client=client)

    def write_config(self, path: str | os.PathLike[str] | None = None, file_name: str = "config.json") -> Path:
        """Writes what from_config reads, as ``.azureml/config.json`` in the folder."""
        file = Path(path or ".") / ".azureml" / file_name
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"subscription_id": self.subscription_id, "resource_group": self.resource_group, "workspace_name": self.name}
        file.write_text(json.dumps(content, indent=4) + "\n")
        return file

    @classmethod
    def _of(cls, document: Document, client: Client) -> "Workspace":
        made = cls.__new__(cls)
        parts = document["id"].strip("/").split("/")
        made._client, made.subscription_id, made.resource_group, made._name, made._document = client, parts[1], parts[3], parts[7], document
        return made

    @property
    def client(self) -> Client:
        """As whom and where this workspace was found."""
        return self._client

    @property
    def path(self) -> str:
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{segment(self.resource_group)}{_PROVIDER}/{segment(self._name)}"

    @property
    def name(self) -> str:
        return str(self._document.get("name") or self._name)

    @property
    def id(self) -> str:
        return str(self._document["id"])

    @property
    def location(self) -> str:
        return str(self._document.get("location") or "")

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._document.get("tags") or {})

    @property
    def identity(self) -> dict[str, Any]:
        """Type, principalId, tenantId and userAssignedIdentities."""
        return dict(self._document.get("identity") or {})

    @property
    def missing_grants(self) -> "list[str]":
        """Roles that the creator of the workspace might not grant to its identity."""
        return list(self._properties.get("missingGrants") or [])

    @property
    def _properties(self) -> Document:
        return self._document.get("properties") or {}

    def get_details(self) -> dict[str, Any]:
        """The workspace as it is now, flat, in the words of the wire."""
        self._document = self._client.arm("GET", self.path)
        return {**{k: v for k, v in self._document.items() if k != "properties"}, **self._properties}

    def update(
        self, friendly_name: str | None = None, description: str | None = None, tags: Mapping[str, str] | None = None, container_registry: str | None = None,
        app_insights: str | None = None, primary_user_assigned_identity: str | None = None,
    ) -> dict[str, Any]:
        """Changes what may change, and gives the workspace as get_details does."""
        given = {
            "friendlyName": friendly_name, "description": description, "containerRegistry": container_registry, "applicationInsights": app_insights,
            "primaryUserAssignedIdentity": primary_user_assigned_identity,
        }
        body: Document = {"properties": {k: v for k, v in given.items() if v is not None}}
        if tags is not None:
            body["tags"] = dict(tags)
        self._client.finish("PATCH", self.path, body)
        return self.get_details()

    def delete(self, delete_dependent_resources: bool = False, no_wait: bool = False) -> None:
        """Deletes the workspace with all that lies in it; the resources that it works with stay."""
        _refuse(delete_dependent_resources=delete_dependent_resources or None)
        if no_wait:
            self._client.arm("DELETE", self.path)
        else:
            self._client.finish("DELETE", self.path)

    def diagnose_workspace(self, diagnose_parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Looks for what keeps the workspace from working; each finding names its cure."""
        return self._client.finish("POST", self.path + "/diagnose", {"value": dict(diagnose_parameters or {})}).get("value") or {}

    def set_connection(self, name: str, category: str, target: str, authType: str, value: Mapping[str, Any] | str) -> WorkspaceConnection:
        """Makes or replaces a connection, such as the one by which images are pulled from a private registry as an identity:

            ws.set_connection(name="privateAcr", category="ACR", target="private.azurecr.io", authType="RegistryConnection",
                              value={"ResourceId": "<resource id of the identity>", "ClientId": "<its client id>"})
        """
        body = {"properties": connection.properties(category, target, authType, value)}
        return WorkspaceConnection.from_document(self._client.arm("PUT", self._connection(name), body))

    def get_connection(self, name: str) -> WorkspaceConnection:
        return WorkspaceConnection.from_document(self._client.arm("GET", self._connection(name)))

    def list_connections(self, category: str | None = None, target: str | None = None) -> Sequence[WorkspaceConnection]:
        found = [WorkspaceConnection.from_document(d) for d in self._client.list(self.path + "/connections")]
        return [c for c in found if (not category or c.category.lower() == category.lower()) and (not target or c.target == target)]

    def delete_connection(self, name: str) -> None:
        self._client.arm("DELETE", self._connection(name))

    def _connection(self, name: str) -> str:
        return f"{self.path}/connections/{segment(name)}"

    @property
    def compute_targets(self) -> "dict[str, ComputeTarget]":
        """The computes by name."""
        from .compute import ComputeTarget

        return {target.name: target for target in ComputeTarget.list(self)}

    @property
    def environments(self) -> "dict[str, Environment]":
        """The environments by name, each in its latest version."""
        from .environment import Environment

        return Environment.list(self)

    def __repr__(self) -> str:
        return f"Workspace(subscription_id={self.subscription_id!r}, resource_group={self.resource_group!r}, workspace_name={self.name!r})"


_REASONS = {
    "user_assigned_identity_for_cmk_encryption": "customer-managed keys are not offered: data at rest is not encrypted with a key of yours",
    "cmk_keyvault": "customer-managed keys are not offered: data at rest is not encrypted with a key of yours",
    "resource_cmk_uri": "customer-managed keys are not offered: data at rest is not encrypted with a key of yours",
    "adb_workspace": "Databricks workspaces cannot be linked",
    "private_endpoint_config": "there are no private endpoints; the server listens where `alvara serve --listen` says",
    "default_cpu_compute_target": "make computes with ComputeTarget.create once the workspace is there",
    "default_gpu_compute_target": "make computes with ComputeTarget.create once the workspace is there",
    "delete_dependent_resources": "storage, vault and registry may hold what others use; delete them one by one",
}


def _refuse(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise AlvaraError("NotSupported", f"{name}: {_REASONS[name]}", target=name)


def _group(client: Client, subscription: str, name: str, location: str | None, create: bool) -> str:
    """The location of a resource group that is there, or made."""
    path = f"/subscriptions/{subscription}/resourceGroups/{segment(name)}"
    try:
        there = client.arm("GET", path, api_version=_GROUPS_API)
    except AlvaraError as error:
        if location and error.status == 403:  # who may make a workspace need not see the group
            return location
        if error.status != 404 or not create:
            raise
    else:
        return location or str(there["location"])
    if not location:
        raise AlvaraError("InvalidArgument", f"the resource group {name} is not there: give location, in which it is made", target="location")
    client.arm("PUT", path, {"location": location}, api_version=_GROUPS_API)
    return location


def _config_file(path: Path | None) -> Path:
    if path is not None and path.is_file():
        return path
    start = (path or Path.cwd()).resolve()
    for folder in [start] if path is not None else [start, *start.parents]:
        for place in (folder / ".azureml", folder, folder / "aml_config"):
            if (place / "config.json").is_file():
                return place / "config.json"
    raise AlvaraError("NoConfiguration", f"there is no config.json in {start}, with subscription_id, resource_group and workspace_name")
