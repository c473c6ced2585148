"""azure-identity, unmodified, with the server's token service (BX-08)."""

from __future__ import annotations

import time

import pytest

from alvara import Credential, Workspace
from alvara.wire import Client

from cloud import Cloud, claims

azure_identity = pytest.importorskip("azure.identity", reason="azure-identity is not installed: pip install azure-identity")

SCOPE = "https://management.azure.com/.default"


@pytest.fixture(autouse=True)
def here(sdk_environment: None) -> None:
    """Every test is led to the server."""


def test_client_secret(cloud: Cloud) -> None:
    credential = azure_identity.ClientSecretCredential(cloud.tenant, cloud.client_id, cloud.secret, disable_instance_discovery=True)
    token = credential.get_token(SCOPE)
    found = claims(token.token)
    assert cloud.client_id in (found.get("appid"), found.get("azp")) and found["tid"] == cloud.tenant and token.expires_on > time.time()


def test_default_credential_finds_the_environment(cloud: Cloud) -> None:
    """MSAL asks for the authority's metadata with the port left out, unless instance discovery is off."""
    credential = azure_identity.DefaultAzureCredential(disable_instance_discovery=True)
    for resource in ("https://management.azure.com", "https://storage.azure.com", "https://ml.azure.com"):
        assert claims(credential.get_token(resource + "/.default").token)["aud"] == resource


def test_wrong_secret_is_refused(cloud: Cloud) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    with pytest.raises(ClientAuthenticationError, match="AADSTS"):
        azure_identity.ClientSecretCredential(cloud.tenant, cloud.client_id, "wrong", disable_instance_discovery=True).get_token(SCOPE)


def test_this_package_takes_its_credentials(cloud: Cloud) -> None:
    credential = azure_identity.ClientSecretCredential(cloud.tenant, cloud.client_id, cloud.secret, disable_instance_discovery=True)
    client = Client(cloud.server.endpoints, Credential(credential))
    assert Workspace.get("ws", resource_group="sdk", client=client).name == "ws"
