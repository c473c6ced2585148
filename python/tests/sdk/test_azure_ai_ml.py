"""azure-ai-ml, unmodified, against a server (BX-08, MI-05, MI-09, MI-11, MI-20). It learns where everything is from ARM_CLOUD_METADATA_URL."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cloud import Cloud

azure_ml = pytest.importorskip("azure.ai.ml", reason="azure-ai-ml is not installed: pip install azure-ai-ml")

from azure.ai.ml import Input, MLClient, Output, command  # noqa: E402
from azure.ai.ml.entities import (  # noqa: E402
    AmlCompute, ComputeInstance, Data, Environment, IdentityConfiguration, ManagedIdentityConfiguration, Model, UserIdentityConfiguration, WorkspaceConnection,
)
from azure.core.exceptions import HttpResponseError  # noqa: E402
from azure.identity import ClientSecretCredential  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def ml(cloud: Cloud, sdk_environment: None) -> MLClient:
    credential = ClientSecretCredential(cloud.tenant, cloud.client_id, cloud.secret, disable_instance_discovery=True)
    return MLClient(credential, cloud.workspace.subscription_id, "sdk", "ws", enable_telemetry=False)


@pytest.fixture
def identity(cloud: Cloud) -> dict[str, Any]:
    path = f"{cloud.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/puller"
    return cloud.client.arm("PUT", path, {"location": "westeurope"}, api_version="2023-01-31")


def cluster(cloud: Cloud, ml: MLClient) -> str:
    """A cluster with an identity that may read and write the workspace's storage; its principal."""
    try:
        found = ml.compute.get("cpu")
    except HttpResponseError:
        wanted = AmlCompute(name="cpu", size="Standard_DS3_v2", min_instances=0, max_instances=2, identity=IdentityConfiguration(type="SystemAssigned"))
        found = ml.compute.begin_create_or_update(wanted).result()
        cloud.grant(found.identity.principal_id, "Storage Blob Data Contributor")
    return str(found.identity.principal_id)


def test_workspaces(ml: MLClient) -> None:
    assert ml.workspaces.get("ws").location == "westeurope"
    assert "ws" in [w.name for w in ml.workspaces.list()]
    assert ml.workspaces.begin_update(ml.workspaces.get("ws"), description="changed").result().description == "changed"
    assert ml.workspaces.begin_diagnose("ws").result() is not None
    ml.workspaces.begin_sync_keys("ws").result()
    with pytest.raises(HttpResponseError, match="KeyBasedAuthenticationNotPermitted"):
        ml.workspaces.get_keys("ws")
    assert {d.name for d in ml.datastores.list()} >= {"workspaceblobstore", "workspaceartifactstore"}
    assert ml.datastores.get_default().name == "workspaceblobstore"


def test_computes(cloud: Cloud, ml: MLClient, identity: dict[str, Any]) -> None:
    assert cluster(cloud, ml)
    named = IdentityConfiguration(type="UserAssigned", user_assigned_identities=[ManagedIdentityConfiguration(resource_id=identity["id"])])
    user = ml.compute.begin_create_or_update(AmlCompute(name="user", size="Standard_DS3_v2", identity=named)).result()
    assert user.identity.user_assigned_identities[0].resource_id.lower() == identity["id"].lower()
    user.max_instances = 3
    assert ml.compute.begin_update(user).result().max_instances == 3
    assert list(ml.compute.list_nodes("user")) == []
    ml.compute.begin_create_or_update(ComputeInstance(name="notebook1", size="Standard_DS3_v2")).result()
    ml.compute.begin_stop("notebook1").result()
    assert ml.compute.get("notebook1").state == "Stopped"
    ml.compute.begin_start("notebook1").result()
    assert {(c.name, c.type) for c in ml.compute.list()} >= {("user", "amlcompute"), ("notebook1", "computeinstance")}
    for name in ("user", "notebook1"):
        ml.compute.begin_delete(name).result()
    assert "user" not in [c.name for c in ml.compute.list()]


def test_environments(ml: MLClient) -> None:
    made = ml.environments.create_or_update(Environment(name="asis", version="1", image="registry.example/base/python:1"))
    assert made.image == "registry.example/base/python:1"
    assert ml.environments.get("asis", label="latest").version == "1"
    conda = {"channels": ["conda-forge"], "dependencies": ["python=3.10"]}
    assert ml.environments.create_or_update(Environment(name="conda", image="registry.example/base/python:1", conda_file=conda)).version == "1"
    assert {e.name for e in ml.environments.list()} == {"asis", "conda"}


def test_connections(ml: MLClient, identity: dict[str, Any]) -> None:
    credentials = ManagedIdentityConfiguration(client_id=identity["properties"]["clientId"], resource_id=identity["id"])
    ml.connections.create_or_update(WorkspaceConnection(name="private", type="container_registry", target="private.azurecr.io", credentials=credentials))
    assert ml.connections.get("private").target == "private.azurecr.io"
    assert [c.name for c in ml.connections.list()] == ["private"]
    ml.connections.delete("private")
    assert not list(ml.connections.list())


def test_models_and_data(ml: MLClient, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"weights")
    assert ml.models.create_or_update(Model(name="m", path=str(folder), type="custom_model")).version == "1"
    (folder / "weights.bin").write_bytes(b"others")
    assert ml.models.create_or_update(Model(name="m", path=str(folder), type="custom_model")).version == "2"
    assert sorted(m.version for m in ml.models.list("m")) == ["1", "2"]
    ml.models.download("m", version="1", download_path=str(tmp_path / "down"))
    assert [p.read_bytes() for p in (tmp_path / "down").rglob("weights.bin")] == [b"weights"]
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    data = ml.data.create_or_update(Data(name="rows", path=str(tmp_path / "rows.csv"), type="uri_file"))
    assert ml.data.get("rows", label="latest").path == data.path and data.path.endswith("/rows.csv")


def ended(ml: MLClient, name: str) -> str:
    for _ in range(600):
        status = ml.jobs.get(name).status
        if status in ("Completed", "Failed", "Canceled"):
            return str(getattr(status, "value", status))
        time.sleep(0.2)
    raise AssertionError(f"{name} is {status}")


def log_of(cloud: Cloud, name: str) -> str:
    from alvara import Run

    return Run(cloud.workspace, name).get_all_logs()


TRAIN = """
import base64, json, sys
from azure.identity import ManagedIdentityCredential
token = ManagedIdentityCredential().get_token("https://storage.azure.com/.default").token
print("principal", json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["oid"])
print("input", open(sys.argv[1]).read())
"""


def test_jobs(cloud: Cloud, ml: MLClient, tmp_path: Path) -> None:
    """Code is uploaded, and the job runs as the cluster's identity."""
    principal = cluster(cloud, ml)
    ml.environments.create_or_update(Environment(name="asis", version="1", image="registry.example/base/python:1"))
    (tmp_path / "data.txt").write_text("rows")
    ml.data.create_or_update(Data(name="jobdata", version="1", path=str(tmp_path / "data.txt"), type="uri_file"))
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text(TRAIN)
    job = command(
        code=str(code), command=sys.executable + " train.py ${{inputs.data}} && echo ${{inputs.rate}} > ${{outputs.out}}/rate.txt", environment="azureml:asis:1", compute="cpu",
        inputs={"data": Input(type="uri_file", path="azureml:jobdata:1"), "rate": 0.1}, outputs={"out": Output(type="uri_folder")}, experiment_name="sdk", display_name="First",
    )
    made = ml.jobs.create_or_update(job)
    assert ended(ml, made.name) == "Completed", log_of(cloud, made.name)
    log = log_of(cloud, made.name)
    assert f"principal {principal}" in log and "input rows" in log
    assert ml.jobs.get(made.name).display_name == "First"
    assert made.name in [j.name for j in ml.jobs.list()]
    again = ml.jobs.create_or_update(command(code=str(code), command="cat train.py", environment="asis@latest", compute="cpu", identity=UserIdentityConfiguration()))
    assert ended(ml, again.name) == "Completed", log_of(cloud, again.name)
    long = ml.jobs.create_or_update(command(command="sleep 600", environment="azureml:asis:1", compute="cpu"))
    ml.jobs.begin_cancel(long.name).result()
    assert ended(ml, long.name) == "Canceled"
    ml.jobs.archive(again.name)
    assert again.name not in [j.name for j in ml.jobs.list()]


def test_refusals_say_what_is_missing(ml: MLClient) -> None:
    with pytest.raises(HttpResponseError) as refused:
        ml.jobs.create_or_update(command(command="true", environment="azureml:nothing:1", compute="cpu"))
    assert "nothing" in str(refused.value)
