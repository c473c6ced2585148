"""Jobs: what is to run, and runs on their way.

    run = Experiment(ws, "train").submit(ScriptRunConfig(".", script="train.py", compute_target="cpu", environment=env))
    run.wait_for_completion(show_output=True)
"""

from __future__ import annotations

import codecs
import os
import shlex
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence, TextIO
from urllib.parse import quote

import requests

from .compute import ComputeTarget
from .credential import RESOURCE_MANAGER
from .environment import Environment
from .errors import AlvaraError
from .upload import upload_code
from .wire import API_VERSION, Document, segment
from .workspace import Workspace

_ENDED = {"Completed", "Failed", "Canceled"}
_FAILURES = 30  # of reading a log, one after the other


@dataclass
class ScriptRunConfig:
    """A job that runs a script or a command on a compute, in an environment.

    ``identity`` is as whom it runs: ``Managed`` (the compute's identity, which is also the default where the compute has one), ``UserIdentity`` (whoever
    submits) or ``AMLToken`` (nobody); a mapping picks one of the compute's identities, as ``{"identityType": "Managed", "clientId": "…"}``. ``inputs`` are values (literal) or the URIs of
    files and folders as ``{"type": "uri_file", "uri": "azureml://datastores/…"}``; ``${{inputs.NAME}}`` in the command is the value or path. ``outputs`` are
    names with a URI, or None for the workspace's own store. ``timeout`` is in seconds, ``memory`` such as ``2Gi``, ``cpu`` in cores, for each node.
    """

    source_directory: str | os.PathLike[str] | None = None
    script: str | None = None
    arguments: Sequence[Any] | None = None
    compute_target: ComputeTarget | str | None = None
    environment: Environment | str | None = None
    command: str | Sequence[str] | None = None
    identity: str | Mapping[str, str] | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str | Mapping[str, str] | None] = field(default_factory=dict)
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    node_count: int = 1
    timeout: int | None = None
    memory: str | None = None
    cpu: float | None = None
    distribution: Mapping[str, Any] | None = None

    @property
    def max_run_duration_seconds(self) -> int | None:
        return self.timeout

    @max_run_duration_seconds.setter
    def max_run_duration_seconds(self, seconds: int | None) -> None:
        self.timeout = seconds

    def command_line(self) -> str:
        """What the shell of the run is given."""
        if self.command is not None:
            if self.script is not None:
                raise AlvaraError("InvalidArgument", "script and command exclude each other", target="command")
            return self.command if isinstance(self.command, str) else " ".join(_word(w) for w in self.command)
        if self.script is None:
            raise AlvaraError("InvalidArgument", "script or command was expected", target="script")
        if self.source_directory is not None and not (Path(self.source_directory) / self.script).is_file():
            raise AlvaraError("FileNotFound", f"{self.source_directory} has no file {self.script}", target="script")
        return " ".join(["python", _word(self.script), *(_word(a) for a in self.arguments or [])])

    def properties(self, workspace: Workspace) -> Document:
        """The job on the wire; uploads its code and registers its environment where that is needed."""
        if self.compute_target is None or self.environment is None:
            raise AlvaraError("InvalidArgument", "compute_target and environment were expected; there is none that comes by itself")
        compute = self.compute_target if isinstance(self.compute_target, str) else self.compute_target.name
        p: Document = {"jobType": "Command", "command": self.command_line(), "computeId": compute if "/" in compute else f"{workspace.path}/computes/{compute}"}
        p["environmentId"] = _environment(self.environment, workspace)
        if self.source_directory is not None:
            p["codeId"] = upload_code(workspace, self.source_directory)
        if self.identity:
            p["identity"] = {"identityType": self.identity} if isinstance(self.identity, str) else dict(self.identity)
        variables = {**(self.environment.environment_variables if isinstance(self.environment, Environment) else {}), **self.environment_variables}
        if variables:
            p["environmentVariables"] = {k: str(v) for k, v in variables.items()}
        if self.inputs:
            p["inputs"] = {name: _input(value) for name, value in self.inputs.items()}
        if self.outputs:
            p["outputs"] = {name: _output(value) for name, value in self.outputs.items()}
        if self.timeout is not None:
            p["limits"] = {"jobLimitsType": "Command", "timeout": f"PT{int(self.timeout)}S"}
        resources: Document = {"instanceCount": self.node_count}
        bounds = {k: v for k, v in (("memory", self.memory), ("cpu", self.cpu)) if v is not None}
        if bounds:
            resources["properties"] = bounds
        p["resources"] = resources
        if self.distribution:
            p["distribution"] = dict(self.distribution)
        return p


class Experiment:
    """A name under which runs are kept together."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name

    def submit(
        self, config: ScriptRunConfig, tags: Mapping[str, str] | None = None, *, name: str | None = None, display_name: str | None = None, description: str | None = None
    ) -> "Run":
        """Submits a job, and gives the run. ``name`` is the job's own, unique in the workspace; without it one is made up."""
        name = name or f"{self.name}_{uuid.uuid4().hex[:12]}"
        properties = {**config.properties(self.workspace), "experimentName": self.name}
        for key, value in (("displayName", display_name), ("description", description), ("tags", dict(tags) if tags else None)):
            if value:
                properties[key] = value
        path = f"{self.workspace.path}/jobs/{segment(name)}"
        return Run._of(self.workspace, self.workspace.client.arm("PUT", path, {"properties": properties}))

    def get_runs(self) -> Iterator["Run"]:
        """The runs of this experiment that the caller may see."""
        for document in self.workspace.client.list(self.workspace.path + "/jobs"):
            if document["properties"].get("experimentName") == self.name:
                yield Run._of(self.workspace, document)


class Run:
    """A job, from its submission on."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self.workspace = workspace
        self._document = workspace.client.arm("GET", f"{workspace.path}/jobs/{segment(run_id)}")

    @classmethod
    def get(cls, workspace: Workspace, run_id: str) -> "Run":
        return cls(workspace, run_id)

    @staticmethod
    def get_context() -> Any:
        """Inside a job, the run that this program is: it has log(name, value)."""
        from . import run

        found = run.current()
        if found is None:
            raise AlvaraError("NoRun", "this program is not part of a run: AZUREML_RUN_ID is not set")
        return found

    @classmethod
    def _of(cls, workspace: Workspace, document: Document) -> "Run":
        made = cls.__new__(cls)
        made.workspace, made._document = workspace, document
        return made

    @property
    def id(self) -> str:
        return str(self._document["name"])

    @property
    def resource_id(self) -> str:
        return str(self._document["id"])

    @property
    def path(self) -> str:
        return f"{self.workspace.path}/jobs/{segment(self.id)}"

    @property
    def _properties(self) -> Document:
        return self._document["properties"]

    @property
    def experiment(self) -> Experiment:
        return Experiment(self.workspace, str(self._properties.get("experimentName") or "Default"))

    @property
    def display_name(self) -> str:
        return str(self._properties.get("displayName") or "")

    @property
    def tags(self) -> dict[str, str]:
        return dict(self._properties.get("tags") or {})

    @property
    def status(self) -> str:
        """As it was when the run was last looked at."""
        return str(self._properties.get("status") or "")

    def get_status(self) -> str:
        """NotStarted, Queued, Preparing, Starting, Running, Finalizing, CancelRequested, Completed, Failed or Canceled."""
        self._document = self.workspace.client.arm("GET", self.path)
        return self.status

    def get_details(self) -> dict[str, Any]:
        """The job in the words of the wire, with its id."""
        self.get_status()
        return {"runId": self.id, "target": self._properties.get("computeId"), "properties": dict(self._properties), **self._properties}

    def wait_for_completion(self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True, *, file: TextIO | None = None) -> dict[str, Any]:
        """Waits for the end of the run and gives its details. With show_output the log is printed as it grows, to ``file`` or standard
        output. A run that did not complete is an AlvaraError with the reason, unless raise_on_error is False."""
        if show_output:
            self._show_log(file or sys.stdout)
        step = 0
        while self.get_status() not in _ENDED:
            time.sleep(min(0.05 + step * 0.05, 2.0))
            step += 1
        if self.status != "Completed" and raise_on_error:
            error = self._properties.get("error") or {}
            message = str(error.get("message") or f"see its log: alvara ml job stream -n {self.id}")
            raise AlvaraError(str(error.get("code") or "Job" + self.status), f"the job {self.id} ended as {self.status}: {message}")
        return self.get_details()

    def get_all_logs(self) -> str:
        """What the job has written until now."""
        parts: list[bytes] = []
        offset = 0
        while True:
            answer = self._log({"offset": offset})
            following = int(answer.headers["x-alvara-next-offset"])
            if following == offset:
                return b"".join(parts).decode("utf-8", "replace")
            parts.append(answer.content)
            offset = following

    def _show_log(self, out: TextIO) -> None:
        """Shows the log as it is written, until the job has ended; also when the server is started anew meanwhile."""
        offset, failures = 0, 0
        decoder = codecs.getincrementaldecoder("utf-8")("replace")  # characters are not cut where parts end
        while True:
            try:
                with self._log({"offset": offset, "follow": "true"}, stream=True) as answer:
                    for chunk in answer.iter_content(None):
                        offset += len(chunk)
                        failures = 0
                        out.write(decoder.decode(chunk))
                        out.flush()
                if self.get_status() in _ENDED:
                    return
            except (requests.RequestException, AlvaraError) as error:
                if isinstance(error, AlvaraError) and error.status not in (0, 429, 502, 503, 504) or failures == _FAILURES:
                    raise
            failures += 1
            time.sleep(min(0.1 * failures, 2.0))

    def _log(self, query: Mapping[str, Any], stream: bool = False) -> requests.Response:
        client = self.workspace.client
        url = client.endpoints.resource_manager + self.path + "/logs"
        return client.send("GET", url, RESOURCE_MANAGER, query={"api-version": API_VERSION, **query}, headers={"Accept": "*/*"}, stream=stream)

    def get_metrics(self, name: str | None = None) -> dict[str, float | list[float]]:
        """What the run has measured of itself, by name: a number, or a list of numbers in the order in which they came."""
        found: dict[str, list[float]] = {}
        for entry in self.metrics(name):
            if isinstance(entry.get("value"), (int, float)) and entry.get("name"):
                found.setdefault(str(entry["name"]), []).append(float(entry["value"]))
        return {key: values[0] if len(values) == 1 else values for key, values in found.items()}

    def metrics(self, name: str | None = None) -> list[dict[str, Any]]:
        """Each value that was measured: name, value, and step and time where they are known."""
        found: list[dict[str, Any]] = []
        offset = 0
        while True:
            part = self.workspace.client.arm("GET", self.path + "/metrics", query={"offset": offset})
            found += [e for e in part.get("value") or [] if name is None or e.get("name") == name]
            following = int(part.get("nextOffset") or offset)
            if following == offset:
                return found
            offset = following

    def get_file_names(self) -> list[str]:
        """The files that the run has left in the folder outputs of its working folder, such as outputs/model.bin."""
        return [str(a["path"]) for a in self.workspace.client.list(self.path + "/artifacts")]

    def download_file(self, name: str, output_file_path: str | os.PathLike[str] | None = None) -> Path:
        """Downloads one of them, to a file or into a folder; without a place into the working folder, by its own name."""
        target = Path(output_file_path) if output_file_path is not None else Path(Path(name).name)
        if target.is_dir():
            target = target / Path(name).name
        client = self.workspace.client
        url = f"{client.endpoints.resource_manager}{self.path}/artifacts/content"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        with client.send("GET", url, RESOURCE_MANAGER, query={"api-version": API_VERSION, "path": name}, headers={"Accept": "*/*"}, stream=True) as answer:
            with part.open("wb") as out:
                for chunk in answer.iter_content(1 << 20):
                    out.write(chunk)
        part.replace(target)
        return target

    def download_files(self, prefix: str = "", output_directory: str | os.PathLike[str] = ".") -> list[Path]:
        """Downloads all that begin with a prefix, by their paths, into a folder."""
        root = Path(output_directory).resolve()
        done = []
        for name in self.get_file_names():
            if name.startswith(prefix):
                target = (root / name).resolve()
                if not target.is_relative_to(root):
                    raise AlvaraError("InvalidAnswer", f"the run has a file named {name!r}, which would lie outside of {root}")
                done.append(self.download_file(name, target))
        return done

    def cancel(self) -> None:
        """Asks for the end of the run."""
        self.workspace.client.arm("POST", self.path + "/cancel")

    def __repr__(self) -> str:
        return f"Run(id={self.id!r}, status={self.status!r})"


def _word(value: Any) -> str:
    """A word of a shell command; ${{…}} stays, since the server puts values there."""
    text = str(value)
    return text if "${{" in text else shlex.quote(text)


def _environment(environment: Environment | str, workspace: Workspace) -> str:
    if isinstance(environment, Environment):
        if environment.id is None:
            environment.register(workspace)
        return str(environment.id)
    if "/" in environment or environment.startswith("azureml:"):
        return environment
    return f"azureml:{environment}" if ":" in environment or "@" in environment else f"azureml:{environment}@latest"


def _input(value: Any) -> Document:
    if isinstance(value, Mapping):
        given = dict(value)
        return {"jobInputType": given.pop("jobInputType", None) or given.pop("type", "uri_folder"), **given}
    return {"jobInputType": "literal", "value": str(value)}


def _output(value: str | Mapping[str, str] | None) -> Document:
    if isinstance(value, Mapping):
        given = dict(value)
        return {"jobOutputType": given.pop("jobOutputType", None) or given.pop("type", "uri_folder"), **given}
    return {"jobOutputType": "uri_folder", **({"uri": value} if value else {})}
