"""Environments: what a job or a deployment runs in. An image as it is, or an image that is built with packages on top of one."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

from .errors import AlvaraError
from .upload import files_of, upload_files
from .wire import Document, segment
from .workspace import Workspace


@dataclass
class RegistryIdentity:
    """The user-assigned identity that pulls the base image of a build; it wins over connections of the workspace."""

    resource_id: str | None = None
    client_id: str | None = None


@dataclass
class ContainerRegistry:
    """Where a base image lies, and as whom it is pulled."""

    address: str | None = None
    username: str | None = None
    password: str | None = None
    registry_identity: RegistryIdentity | None = None


@dataclass
class DockerSection:
    """The image. base_dockerfile is the text of a Dockerfile, or the path of one; build_context the folder that belongs to it."""

    base_image: str | None = None
    base_dockerfile: str | os.PathLike[str] | None = None
    build_context: str | os.PathLike[str] | None = None
    base_image_registry: ContainerRegistry = field(default_factory=ContainerRegistry)


class CondaDependencies:
    """Packages on top of an image, as a conda file says them."""

    def __init__(self, conda_dependencies_file_path: str | os.PathLike[str] | None = None) -> None:
        self._text = Path(conda_dependencies_file_path).read_text() if conda_dependencies_file_path is not None else None
        self._channels: list[str] = ["conda-forge"]
        self._conda: list[str] = ["python=3.10", "pip"]
        self._pip: list[str] = []

    @classmethod
    def create(
        cls, conda_packages: list[str] | None = None, pip_packages: list[str] | None = None, python_version: str = "3.10", pin_sdk_version: bool = True
    ) -> "CondaDependencies":
        made = cls()
        made._conda = [f"python={python_version}", "pip", *(conda_packages or [])]
        made._pip = list(pip_packages or [])
        return made

    def add_channel(self, channel: str) -> None:
        self._edit(self._channels, channel)

    def add_conda_package(self, conda_package: str) -> None:
        self._edit(self._conda, conda_package)

    def add_pip_package(self, pip_package: str) -> None:
        self._edit(self._pip, pip_package)

    def _edit(self, to: list[str], entry: str) -> None:
        if self._text is not None:
            raise AlvaraError("NotSupported", "these packages come from a file; write the package into the file")
        to.append(entry)

    def serialize_to_string(self) -> str:
        """The conda file: YAML, of which JSON is a part."""
        if self._text is not None:
            return self._text
        dependencies: list[Any] = [*self._conda]
        if self._pip:
            dependencies.append({"pip": self._pip})
        return json.dumps({"channels": self._channels, "dependencies": dependencies}, indent=2) + "\n"


@dataclass
class PythonSection:
    """Packages. With user_managed_dependencies the image is used as it is, and the compute pulls it as its own identity; without it an
    image is built with conda_dependencies on top (python alone, when nothing is said)."""

    user_managed_dependencies: bool = False
    conda_dependencies: CondaDependencies | None = None


@dataclass
class ImageBuildDetails:
    """A build of an environment's image."""

    environment: "Environment"
    workspace: Workspace

    @property
    def status(self) -> str:
        """NotNeeded, NotBuilt, Queued, Running, Succeeded or Failed."""
        return str(self._state().get("state") or "")

    @property
    def image(self) -> str:
        """The image as it is pulled; "" while there is none."""
        return str(self._state().get("image") or "")

    def _state(self) -> Document:
        document = self.workspace.client.arm("GET", self.environment._path(self.workspace))
        return document["properties"].get("imageBuild") or {}

    def wait_for_completion(self, show_output: bool = True) -> "ImageBuildDetails":
        """Waits for the end of the build. One that failed is an AlvaraError with the build's message."""
        shown, step = 0, 0
        while True:
            now = self._state()
            if show_output and now.get("runId"):
                shown = self._show(shown)
            state = str(now.get("state") or "")
            if state in ("NotNeeded", "Succeeded"):
                return self
            if state not in ("Queued", "Running"):
                raise AlvaraError("ImageBuildFailed", str(now.get("message") or f"the image of {self.environment.name} is {state or 'not built'}"))
            time.sleep(min(0.1 + step * 0.1, 2.0))
            step += 1

    def _show(self, shown: int) -> int:
        try:
            answer = self.workspace.client.arm("POST", self.environment._path(self.workspace) + "/listBuildLog")
            text = self.workspace.client.send("GET", str(answer["logLink"]), "").content
        except AlvaraError:
            return shown  # the log begins a moment after the build
        print(text[shown:].decode("utf-8", "replace"), end="", flush=True)
        return len(text)


class Environment:
    """An environment as it is being described, or as it was found in a workspace.

        env = Environment(name="private-acr")
        env.docker.base_image = "myregistry.azurecr.io/base/train:1"
        env.python.user_managed_dependencies = True
        env.register(ws)
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.version: str | None = None
        self.docker = DockerSection()
        self.python = PythonSection()
        self.environment_variables: dict[str, str] = {}
        self.description: str | None = None
        self.tags: dict[str, str] = {}
        self.inferencing_stack_version: str | None = None
        self.id: str | None = None

    @classmethod
    def from_docker_image(
        cls, name: str, image: str, container_registry: ContainerRegistry | None = None, conda_specification: str | os.PathLike[str] | None = None
    ) -> "Environment":
        made = cls(name)
        made.docker.base_image = image
        made.docker.base_image_registry = container_registry or ContainerRegistry()
        if conda_specification is None:
            made.python.user_managed_dependencies = True
        else:
            made.python.conda_dependencies = CondaDependencies(conda_specification)
        return made

    @classmethod
    def from_conda_specification(cls, name: str, file_path: str | os.PathLike[str]) -> "Environment":
        made = cls(name)
        made.python.conda_dependencies = CondaDependencies(file_path)
        return made

    @classmethod
    def from_dockerfile(cls, name: str, dockerfile: str | os.PathLike[str], conda_specification: Any = None) -> "Environment":
        """dockerfile is the path of a Dockerfile or its text."""
        if conda_specification is not None:
            raise AlvaraError("NotSupported", "conda_specification goes with an image; with a Dockerfile, install the packages there")
        made = cls(name)
        made.docker.base_dockerfile = dockerfile
        made.python.user_managed_dependencies = True
        return made

    @classmethod
    def get(cls, workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> "Environment":
        """Finds a version; without one, the latest."""
        base = f"{workspace.path}/environments/{segment(name)}"
        if label not in (None, "Latest", "latest"):
            raise AlvaraError("NotSupported", f"the label {label!r} is unknown; Latest is the only one", target="label")
        if version is None:
            version = str(workspace.client.arm("GET", base)["properties"]["latestVersion"])
        return cls._of(workspace.client.arm("GET", f"{base}/versions/{segment(version)}"))

    @classmethod
    def list(cls, workspace: Workspace) -> "dict[str, Environment]":
        """The environments of a workspace by name, each in its latest version."""
        names = [str(d["name"]) for d in workspace.client.list(workspace.path + "/environments")]
        return {name: cls.get(workspace, name) for name in names}

    def register(self, workspace: Workspace) -> "Environment":
        """Writes the environment down as a version. A description that the latest version has already gives that one; another one
        gives the next version, unless ``version`` names one."""
        properties = self._properties(workspace)
        base = f"{workspace.path}/environments/{segment(self.name)}"
        version = self.version
        if version is None:
            try:
                container = workspace.client.arm("GET", base)["properties"]
            except AlvaraError as error:
                if error.status != 404:
                    raise
                version = "1"
            else:
                latest = container.get("latestVersion")
                there = workspace.client.arm("GET", f"{base}/versions/{segment(str(latest))}") if latest else None
                if there is not None and _same(properties, there["properties"]):
                    return self._found(there)
                version = str(container.get("nextVersion") or "1")
        return self._found(workspace.client.arm("PUT", f"{base}/versions/{segment(version)}", {"properties": properties}))

    def build(self, workspace: Workspace) -> ImageBuildDetails:
        """Has the image built, unless its content was built before; registers the environment first when it is not yet."""
        if self.id is None:
            self.register(workspace)
        workspace.client.finish("POST", self._path(workspace) + "/build")
        return ImageBuildDetails(self, workspace)

    def get_image_details(self, workspace: Workspace) -> dict[str, Any]:
        """State, image, digest, registry, runId and message of the latest build."""
        return ImageBuildDetails(self, workspace)._state()

    def _path(self, workspace: Workspace) -> str:
        if self.version is None:
            raise AlvaraError("NotRegistered", f"the environment {self.name} is not registered; call register(ws) first")
        return f"{workspace.path}/environments/{segment(self.name)}/versions/{segment(self.version)}"

    def _found(self, document: Mapping[str, Any]) -> "Environment":
        self.version, self.id = str(document["name"]), str(document["id"])
        return self

    @classmethod
    def _of(cls, document: Mapping[str, Any]) -> "Environment":
        p = document["properties"]
        made = cls(str(document["id"]).strip("/").split("/")[-3])._found(document)
        made.docker.base_image, made.description, made.tags = p.get("image"), p.get("description"), dict(p.get("tags") or {})
        made.python.user_managed_dependencies = not p.get("condaFile")
        if p.get("condaFile"):
            made.python.conda_dependencies = CondaDependencies()
            made.python.conda_dependencies._text = p["condaFile"]
        who = p.get("registryIdentity")
        if who:
            made.docker.base_image_registry.registry_identity = RegistryIdentity(who.get("resourceId"), who.get("clientId"))
        return made

    def _properties(self, workspace: Workspace) -> Document:
        docker, python = self.docker, self.python
        registry = docker.base_image_registry
        if registry.username or registry.password:
            raise AlvaraError(
                "NotSupported", "base_image_registry.username and password: images are pulled as identities; give registry_identity, or make a connection with ws.set_connection"
            )
        properties: Document = {}
        if self.description:
            properties["description"] = self.description
        if self.tags:
            properties["tags"] = dict(self.tags)
        if docker.base_dockerfile is not None:
            if docker.base_image:
                raise AlvaraError("InvalidArgument", "docker.base_image and docker.base_dockerfile exclude each other; a Dockerfile names its own base image")
            properties["build"] = self._context(workspace)
        elif docker.base_image:
            prefix = (registry.address or "").removeprefix("https://").rstrip("/")
            image = docker.base_image
            properties["image"] = f"{prefix}/{image}" if prefix and not image.startswith(prefix + "/") else image
            if not python.user_managed_dependencies:
                properties["condaFile"] = (python.conda_dependencies or CondaDependencies()).serialize_to_string()
        else:
            raise AlvaraError("InvalidArgument", f"the environment {self.name} has no image: set docker.base_image or docker.base_dockerfile")
        who = registry.registry_identity
        if who is not None:
            if not who.resource_id or not who.client_id:
                raise AlvaraError("InvalidArgument", "registry_identity: both resource_id and client_id were expected")
            properties["registryIdentity"] = {"resourceId": who.resource_id, "clientId": who.client_id}
        return properties

    def _context(self, workspace: Workspace) -> Document:
        """Uploads the Dockerfile with its folder."""
        given = self.docker.base_dockerfile
        assert given is not None
        is_path = isinstance(given, os.PathLike) or ("\n" not in given and Path(given).is_file())
        text = Path(given).read_text() if is_path else str(given)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "Dockerfile"
            file.write_text(text)
            others = files_of(self.docker.build_context) if self.docker.build_context is not None else []
            files = sorted([*(f for f in others if f[0] != "Dockerfile"), ("Dockerfile", file)])
            return {"contextUri": upload_files(workspace, files), "dockerfilePath": "Dockerfile"}

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"


def _same(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    def part(p: Mapping[str, Any]) -> tuple[Any, ...]:
        who = p.get("registryIdentity") or {}
        return (
            p.get("image"), (p.get("condaFile") or "").strip(), p.get("description"), dict(p.get("tags") or {}),
            str(who.get("resourceId") or "").lower(), str(who.get("clientId") or "").lower(),
        )

    return part(wanted) == part(there) and "build" not in wanted and not there.get("build")
