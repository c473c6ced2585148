"""A server with a domain, and an environment in which Azure's SDKs for Python find it: nothing of them is changed.

They put the names of storage accounts together of the cloud's suffix, so that the server has host names; here they mean this machine.
"""

from __future__ import annotations

import socket
from typing import Any, Iterator

import pytest

from alvara import Workspace
from cloud import Cloud
from running import serve

DOMAIN = "alvara.test"


@pytest.fixture(scope="session")
def names() -> Iterator[None]:
    """The domain's names mean this machine, as a name server or /etc/hosts would say."""
    real = socket.getaddrinfo

    def local(host: Any, *arguments: Any, **more: Any) -> Any:
        return real("127.0.0.1" if isinstance(host, str) and host.endswith("." + DOMAIN) else host, *arguments, **more)

    socket.getaddrinfo = local  # type: ignore[assignment]
    yield
    socket.getaddrinfo = real


@pytest.fixture(scope="session")
def cloud(binary: str, names: None) -> Iterator[Cloud]:
    for server in serve(binary, "--domain", DOMAIN, "--job-backend", "process"):
        client = server.client()
        workspace = Workspace.create(name="ws", resource_group="sdk", location="westeurope", client=client, show_output=False)
        graph = server.endpoints.resource_manager + "/v1.0"
        audience = "https://graph.microsoft.com/"
        app = client.send("POST", graph + "/applications", audience, body={"displayName": "sdk"}).json()
        principal = client.send("POST", graph + "/servicePrincipals", audience, body={"appId": app["appId"]}).json()
        secret = client.send("POST", f"{graph}/applications/{app['id']}/addPassword", audience, body={"passwordCredential": {}}).json()["secretText"]
        made = Cloud(server, client, workspace, server.endpoints.tenant, app["appId"], secret)
        for role in ("Owner", "Storage Blob Data Contributor"):
            made.grant(principal["id"], role)
        yield made


@pytest.fixture
def sdk_environment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that lead Azure's SDKs to the server: where its cloud is described, its token service, and its certificates."""
    endpoints = cloud.server.endpoints
    for name, value in {
        "ARM_CLOUD_METADATA_URL": endpoints.resource_manager + "/metadata/endpoints?api-version=2019-05-01", "AZURE_AUTHORITY_HOST": endpoints.authority,
        "REQUESTS_CA_BUNDLE": endpoints.ca_file, "SSL_CERT_FILE": endpoints.ca_file, "AZURE_TENANT_ID": cloud.tenant, "AZURE_CLIENT_ID": cloud.client_id,
        "AZURE_CLIENT_SECRET": cloud.secret,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZUREML_CURRENT_CLOUD", raising=False)  # azure-ai-ml sets it
