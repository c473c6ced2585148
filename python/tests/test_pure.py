"""What needs no server: errors, metrics, commands, folders, names of azureml-core."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import alvara.run
from alvara import AlvaraError, AmlCompute, CondaDependencies, Environment, Run, ScriptRunConfig
from alvara.errors import from_answer
from alvara.features import _arrow, _keys, _pandas, _references
from alvara.upload import files_of, hash_of


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"error": {"code": "AuthorizationFailed", "message": "no", "target": "x"}}', "AuthorizationFailed", "no"),
        (b'{"error": "invalid_client", "error_description": "unknown"}', "invalid_client", "unknown"),
        (b'{"errors": [{"code": "DENIED", "message": "pull"}]}', "DENIED", "pull"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>BlobNotFound</Code><Message>gone</Message></Error>", "BlobNotFound", "gone"),
        (b"plain", "HTTP418", "plain"),
        (b"", "HTTP418", "the server gave no reason"),
    ],
)
def test_errors_of_every_plane(body: bytes, code: str, message: str) -> None:
    error = from_answer(418, body)
    assert (error.code, error.message, error.status) == (code, message, 418)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) and copy.status == 418


def test_details_are_said_once() -> None:
    body = {"error": {"code": "Invalid", "message": "two faults: a", "details": [{"code": "A", "message": "a"}, {"code": "B", "message": "b\nsecond line"}]}}
    text = str(from_answer(400, json.dumps(body).encode()))
    assert text == "(Invalid) two faults: a\n- (B) b\n  second line"


def test_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("ALVARA_METRICS", str(file))
    alvara.run.log_metric("loss", 0.5)
    alvara.run.log_metrics({"loss": 0.25, "accuracy": 1}, step=2)
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(e["name"], e["value"], e.get("step")) for e in entries] == [("loss", 0.5, None), ("loss", 0.25, 2), ("accuracy", 1.0, 2)]
    assert all(e["time"].endswith("Z") for e in entries)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(AlvaraError, match="finite"):
            alvara.run.log_metric("loss", bad)
    monkeypatch.delenv("ALVARA_METRICS")
    alvara.run.log_metric("loss", 1)
    assert len(file.read_text().splitlines()) == 3


def test_current_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZUREML_RUN_ID", raising=False)
    assert alvara.run.current() is None
    with pytest.raises(AlvaraError, match="not part of a run"):
        Run.get_context()
    monkeypatch.setenv("AZUREML_RUN_ID", "r1")
    monkeypatch.setenv("ALVARA_INPUTS", "/somewhere/inputs")
    found = Run.get_context()
    assert (found.id, found.inputs, found.outputs) == ("r1", Path("/somewhere/inputs"), Path("/alvara/outputs"))


def test_command_lines(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    config = ScriptRunConfig(tmp_path, "train.py", arguments=["--name", "two words", "--data", "${{inputs.data}}", 3])
    assert config.command_line() == "python train.py --name 'two words' --data ${{inputs.data}} 3"
    assert ScriptRunConfig(command=["echo", "$HOME"]).command_line() == "echo '$HOME'"
    assert ScriptRunConfig(command="echo $HOME").command_line() == "echo $HOME"
    with pytest.raises(AlvaraError, match="no file"):
        ScriptRunConfig(tmp_path, "other.py").command_line()
    with pytest.raises(AlvaraError, match="exclude"):
        ScriptRunConfig(tmp_path, "train.py", command="x").command_line()


def test_folders(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", "b/c.pyc", "data/x.csv", "__pycache__/a", ".git/config", "empty"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty" else name)
    (tmp_path / ".amlignore").write_text("# what stays\n*.pyc\ndata/\n\n")
    found = files_of(tmp_path)
    assert [name for name, _ in found] == [".amlignore", "a.py", "b/c.py", "empty"]
    before = hash_of(found)
    assert before == hash_of(files_of(tmp_path))
    (tmp_path / "a.py").write_text("changed")
    assert hash_of(files_of(tmp_path)) != before
    (tmp_path / "out").symlink_to("/etc/hostname")
    with pytest.raises(AlvaraError, match="link to outside"):
        files_of(tmp_path)


def test_conda_files(tmp_path: Path) -> None:
    made = CondaDependencies.create(conda_packages=["numpy"], pip_packages=["requests"], python_version="3.11")
    made.add_channel("bioconda")
    assert json.loads(made.serialize_to_string()) == {"channels": ["conda-forge", "bioconda"], "dependencies": ["python=3.11", "pip", "numpy", {"pip": ["requests"]}]}
    (tmp_path / "conda.yml").write_text("dependencies: [python]\n")
    env = Environment.from_conda_specification("e", tmp_path / "conda.yml")
    assert env.python.conda_dependencies is not None and env.python.conda_dependencies.serialize_to_string() == "dependencies: [python]\n"


@pytest.mark.parametrize(("package", "wanted"), [("pandas", _pandas), ("pyarrow", _arrow)])
def test_packages_that_are_not_there(package: str, wanted: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AlvaraError) as refused:
        wanted()
    assert refused.value.code == "MissingPackage" and package in refused.value.message and "pip install './python[pandas]'" in refused.value.message


def test_references_and_keys() -> None:
    class FeatureSet:
        name, version = "accounts", "2"

    class Feature:
        feature_set_name, feature_set_version, feature_name = "transactions", "1", "amount"

    assert _references(["a=transactions:1", FeatureSet(), Feature()]) == ["a=transactions:1", "accounts:2", "transactions:1:amount"]
    assert _references("transactions:1") == ["transactions:1"]
    with pytest.raises(AlvaraError, match="empty"):
        _references([])
    assert _keys({"id": ("A", "B")}) == {"id": ["A", "B"]}
    assert _keys([{"id": "A", "n": 1}, {"n": 2, "id": "B"}]) == {"id": ["A", "B"], "n": [1, 2]}
    with pytest.raises(AlvaraError, match="same key columns"):
        _keys([{"id": "A"}, {"other": 1}])


def test_node_counts_of_clusters() -> None:
    assert AmlCompute.provisioning_configuration().max_nodes == 1
    assert AmlCompute.provisioning_configuration(min_nodes=3).max_nodes == 3


def test_programs_that_import_azureml() -> None:
    """In a process of its own, and without the packages of others, where azureml-core may be."""
    program = """
import sys
import importlib.util
if importlib.util.find_spec("azureml") is not None:
    import alvara, alvara.compat
    try:
        alvara.compat.install()
    except alvara.AlvaraError as error:
        print("refused", error.code)
else:
    import alvara.compat
    alvara.compat.install()
    alvara.compat.install()
    from azureml.core import Environment, Workspace
    from azureml.core.compute import AmlCompute, ComputeTarget
    from azureml.core.container_registry import RegistryIdentity
    import azureml.core, alvara
    assert azureml.core.Workspace is Workspace is alvara.Workspace
    import alvara.compat as azureml
    assert azureml.core.Environment is alvara.Environment
    print("installed")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() in ("installed", "refused PackageConflict"), done.stderr
