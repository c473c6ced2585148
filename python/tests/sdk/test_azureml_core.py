"""azureml-core, unmodified, as far as it works with a server (MI-04, MI-11, MI-19): see README.md for what does not, and alvara.core instead.

Its dependencies are older than those of azure-ai-ml: install it into a virtual environment of its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from cloud import Cloud

azureml_core = pytest.importorskip("azureml.core", reason="azureml-core is not installed: pip install azureml-core 'setuptools<80'")

from azureml.core import Workspace  # noqa: E402
from azureml.core.authentication import TokenAuthentication  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def ws(cloud: Cloud, sdk_environment: None) -> Any:
    def token(audience: str) -> str:
        return cloud.client.credential.get_token(audience.rstrip("/") + "/.default").token

    auth = TokenAuthentication(token, cloud="Alvara")
    return Workspace.get("ws", auth=auth, subscription_id=cloud.workspace.subscription_id, resource_group="sdk")


def test_workspaces(cloud: Cloud, ws: Any) -> None:
    assert (ws.name, ws.resource_group, ws.location) == ("ws", "sdk", "westeurope")
    details = ws.get_details()
    assert details["identity"]["principal_id"] == cloud.workspace.identity["principalId"]
    assert "ws" in Workspace.list(cloud.workspace.subscription_id, auth=ws._auth_object, resource_group="sdk")


def test_set_connection(cloud: Cloud, ws: Any) -> None:
    """As the document writes it: the value is a dictionary."""
    path = f"{cloud.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
    identity = cloud.client.arm("PUT", path, {"location": "westeurope"}, api_version="2023-01-31")
    value = {"ResourceId": identity["id"], "ClientId": identity["properties"]["clientId"]}
    ws.set_connection(name="privateAcr", category="ACR", target="private.azurecr.io", authType="RegistryConnection", value=value)
    kept = cloud.workspace.get_connection("privateAcr")
    assert {k.lower(): v for k, v in kept.credentials.items()} == {k.lower(): v for k, v in value.items()}
    cloud.workspace.delete_connection("privateAcr")
