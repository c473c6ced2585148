"""Jobs from Python: submitted, followed, measured and downloaded, as identities (MI-09, MI-19, MI-20).

The server runs jobs as plain processes here, so that no image is needed; what stands between jobs and the machine is tested elsewhere.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import uuid
from pathlib import Path
from typing import Iterator

import pytest

from alvara import AlvaraError, AmlCompute, ComputeTarget, Environment, Experiment, Run, ScriptRunConfig, Workspace
from running import Server, serve

ROLES_API = "2022-04-01"
STORAGE = "Storage Blob Data Contributor"


@pytest.fixture(scope="module")
def processes(binary: str) -> Iterator[Server]:
    yield from serve(binary, "--job-backend", "process")


@pytest.fixture(scope="module")
def ws(processes: Server) -> Workspace:
    """A workspace, to whose storage the administrator may upload, with a cluster that has an identity of its own."""
    client = processes.client()
    made = Workspace.create(name="jobs", resource_group="rg", location="westeurope", client=client, show_output=False)
    claims = client.credential.get_token("https://management.azure.com/.default").token.split(".")[1]
    grant(made, json.loads(base64.urlsafe_b64decode(claims + "=="))["oid"], "User")
    cluster = ComputeTarget.create(made, "cpu", AmlCompute.provisioning_configuration(max_nodes=2, identity_type="SystemAssigned"))
    cluster.wait_for_completion()
    cluster.refresh_state()
    grant(made, cluster.principal_id, "ServicePrincipal")
    return made


def grant(ws: Workspace, principal: str, kind: str) -> None:
    scope = f"/subscriptions/{ws.subscription_id}/resourceGroups/{ws.resource_group}"
    role = next(ws.client.list(f"{scope}/providers/Microsoft.Authorization/roleDefinitions", query={"$filter": f"roleName eq '{STORAGE}'"}, api_version=ROLES_API))
    body = {"properties": {"roleDefinitionId": role["id"], "principalId": principal, "principalType": kind}}
    ws.client.arm("PUT", f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", body, api_version=ROLES_API)


@pytest.fixture(scope="module")
def env(ws: Workspace) -> Environment:
    made = Environment(name="asis")
    made.docker.base_image = "registry.example/base/python:1"
    made.python.user_managed_dependencies = True
    return made.register(ws)


TRAIN = """
import argparse, pathlib
import alvara.run

arguments = argparse.ArgumentParser()
arguments.add_argument("--rate", type=float)
arguments.add_argument("--name")
given = arguments.parse_args()
run = alvara.run.current()
print("run", run.id, "of", run.experiment, "in", run.workspace, "–", given.name)
for step in range(3):
    alvara.run.log_metric("loss", given.rate / (step + 1), step=step)
alvara.run.log_metric("accuracy", 0.5)
pathlib.Path("outputs/deep").mkdir(parents=True, exist_ok=True)
pathlib.Path("outputs/model.bin").write_bytes(bytes(range(256)) * 10)
pathlib.Path("outputs/deep/note.txt").write_text("kept")
"""


def config(ws: Workspace, env: Environment, folder: Path, program: str, **more: object) -> ScriptRunConfig:
    """A job that runs a program with this Python, and this package."""
    (folder / "train.py").write_text(program)
    (folder / "empty").touch()
    package = Path(__file__).resolve().parents[1]
    given = {"compute_target": "cpu", "environment": env, "environment_variables": {"PYTHONPATH": str(package), "PYTHONUTF8": "1"}, **more}
    return ScriptRunConfig(folder, command=f"{sys.executable} train.py {given.pop('arguments', '')}", **given)  # type: ignore[arg-type]


def test_a_run(ws: Workspace, env: Environment, tmp_path: Path) -> None:
    job = config(ws, env, tmp_path, TRAIN, arguments="--rate ${{inputs.rate}} --name 'two words'", inputs={"rate": 0.6})
    run = Experiment(ws, "fraud").submit(job, tags={"stage": "test"}, display_name="First")
    shown = io.StringIO()
    details = run.wait_for_completion(show_output=True, file=shown)
    assert (details["status"], run.display_name, run.tags, run.experiment.name) == ("Completed", "First", {"stage": "test"}, "fraud")
    assert f"run {run.id} of fraud in jobs – two words" in shown.getvalue()
    assert shown.getvalue() in run.get_all_logs()
    assert run.get_metrics() == {"loss": [0.6, 0.3, pytest.approx(0.2)], "accuracy": 0.5}
    assert [m["step"] for m in run.metrics("loss")] == [0, 1, 2]
    assert sorted(run.get_file_names()) == ["outputs/deep/note.txt", "outputs/model.bin"]
    out = tmp_path / "downloads"
    out.mkdir()
    assert run.download_file("outputs/model.bin", out).read_bytes() == bytes(range(256)) * 10
    assert run.download_file("outputs/model.bin", out / "renamed.bin").stat().st_size == 2560
    assert [p.relative_to(out.resolve()).as_posix() for p in run.download_files("outputs/deep", out)] == ["outputs/deep/note.txt"]
    with pytest.raises(AlvaraError) as missing:
        run.download_file("outputs/nothing", out)
    assert missing.value.status == 404
    assert [r.id for r in Experiment(ws, "fraud").get_runs()] == [run.id]
    assert Run(ws, run.id).status == "Completed"


def test_code_is_sent_once(ws: Workspace, env: Environment, tmp_path: Path) -> None:
    job = config(ws, env, tmp_path, "print('same')")
    first, second = job.properties(ws), job.properties(ws)
    assert first["codeId"] == second["codeId"]
    assert config(ws, env, tmp_path, "print('other')").properties(ws)["codeId"] != first["codeId"]


def test_a_run_that_fails(ws: Workspace, env: Environment, tmp_path: Path) -> None:
    run = Experiment(ws, "failing").submit(config(ws, env, tmp_path, "raise SystemExit(3)"))
    with pytest.raises(AlvaraError) as failed:
        run.wait_for_completion()
    assert run.id in str(failed.value) and "Failed" in str(failed.value) and "3" in failed.value.message
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_a_run_that_is_cancelled(ws: Workspace, env: Environment, tmp_path: Path) -> None:
    run = Experiment(ws, "long").submit(config(ws, env, tmp_path, "import time; print('waiting', flush=True); time.sleep(600)"))
    run.cancel()
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Canceled"
    with pytest.raises(AlvaraError):
        run.cancel()


IDENTITY = """
import base64, json, os, pathlib
import alvara

token = alvara.Credential().get_token("https://management.azure.com/.default").token
claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
print("principal", claims["oid"])
run = alvara.run.current()
ws = alvara.Workspace.get(run.workspace, subscription_id=run.subscription_id, resource_group=run.resource_group) if os.environ.get("MAY_READ") else None
pathlib.Path(os.environ["PLACE"]).joinpath("written.txt").write_text(pathlib.Path(os.environ["SOURCE"]).read_text().upper())
"""


def test_as_whom_it_runs(ws: Workspace, env: Environment, tmp_path: Path) -> None:
    """MI-20: tokens of the compute's identity, and data read and written as it."""
    from alvara.upload import upload_files

    (tmp_path / "data.txt").write_text("rows")
    url = upload_files(ws, [("data.txt", tmp_path / "data.txt")])
    variables = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), "SOURCE": "${{inputs.data}}", "PLACE": "${{outputs.result}}"}
    (tmp_path / "code").mkdir()
    job = config(
        ws, env, tmp_path / "code", "import alvara.run\n" + IDENTITY, environment_variables=variables, inputs={"data": {"type": "uri_file", "uri": url + "data.txt"}}, outputs={"result": None}
    )
    run = Experiment(ws, "identity").submit(job)
    run.wait_for_completion()
    cluster = ComputeTarget(ws, "cpu")
    assert f"principal {cluster.principal_id}" in run.get_all_logs()
    assert run.get_details()["identity"]["identityType"] == "Managed"
    # As nobody there are neither tokens nor data.
    with pytest.raises(AlvaraError) as refused:
        Experiment(ws, "identity").submit(config(ws, env, tmp_path / "code", IDENTITY, inputs=job.inputs, identity="AMLToken"))
    assert refused.value.code == "IdentityRequired"
    nobody = Experiment(ws, "identity").submit(config(ws, env, tmp_path / "code", "import alvara; alvara.ManagedIdentityCredential().get_token('x/.default')", identity="AMLToken"))
    with pytest.raises(AlvaraError):
        nobody.wait_for_completion()
    assert "there is no identity endpoint here" in nobody.get_all_logs()
    with pytest.raises(AlvaraError) as unknown:
        Experiment(ws, "identity").submit(config(ws, env, tmp_path / "code", IDENTITY, identity={"identityType": "Managed", "clientId": str(uuid.uuid4())}))
    assert unknown.value.code == "IdentityNotOfCompute"


def test_azure_identity_inside_a_job(ws: Workspace, env: Environment, tmp_path: Path) -> None:
    """MI-20: ManagedIdentityCredential and DefaultAzureCredential of azure-identity, unmodified."""
    pytest.importorskip("azure.identity", reason="azure-identity is not installed: pip install azure-identity")
    program = """
import base64, json
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

for credential in (ManagedIdentityCredential(), DefaultAzureCredential()):
    token = credential.get_token("https://storage.azure.com/.default").token
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    print(type(credential).__name__, claims["oid"], claims["aud"])
"""
    run = Experiment(ws, "sdk").submit(config(ws, env, tmp_path, program))
    run.wait_for_completion(show_output=True)
    principal = ComputeTarget(ws, "cpu").principal_id
    log = run.get_all_logs()
    for name in ("ManagedIdentityCredential", "DefaultAzureCredential"):
        assert f"{name} {principal} https://storage.azure.com" in log


def test_what_a_job_needs(ws: Workspace, env: Environment) -> None:
    for incomplete in (ScriptRunConfig(command="true", environment=env), ScriptRunConfig(command="true", compute_target="cpu")):
        with pytest.raises(AlvaraError, match="compute_target and environment"):
            Experiment(ws, "e").submit(incomplete)
    with pytest.raises(AlvaraError) as missing:
        Experiment(ws, "e").submit(ScriptRunConfig(command="true", compute_target="nothing", environment="asis"))
    assert "nothing" in str(missing.value)
