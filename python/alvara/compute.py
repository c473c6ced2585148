"""Computes of a workspace: clusters, instances and attached Kubernetes, each with an identity of its own or none."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping, Protocol, Sequence

from .errors import AlvaraError
from .wire import Document, segment
from .workspace import Workspace

SYSTEM_ASSIGNED, USER_ASSIGNED = "SystemAssigned", "UserAssigned"


class ProvisioningConfiguration(Protocol):
    """What a compute is made with."""

    def body(self) -> Document: ...


def identity_body(identity_type: str | None, identity_id: Sequence[str] | str | None) -> Document | None:
    """The identity of a compute on the wire. identity_id are resource ids of user-assigned identities."""
    ids = [identity_id] if isinstance(identity_id, str) else list(identity_id or [])
    kind = (identity_type or "").replace("_", "").lower()
    if kind in ("", "none"):
        if ids:
            raise AlvaraError("InvalidArgument", "identity_id goes with identity_type='UserAssigned'", target="identity_type")
        return {"type": "None"} if kind else None
    if kind == "systemassigned" and not ids:
        return {"type": SYSTEM_ASSIGNED}
    if kind == "userassigned" and ids:
        return {"type": USER_ASSIGNED, "userAssignedIdentities": {i: {} for i in ids}}
    raise AlvaraError(
        "InvalidArgument", f"identity_type is {identity_type!r} with {len(ids)} ids; SystemAssigned without ids or UserAssigned with some was expected", target="identity_type"
    )


@dataclass
class AmlComputeProvisioningConfiguration:
    """A cluster. Its nodes are places for jobs on the server's machine: vm_size is written down and bounds nothing."""

    vm_size: str = "Standard_DS3_v2"
    vm_priority: str = "dedicated"
    min_nodes: int = 0
    max_nodes: int = 1
    idle_seconds_before_scaledown: int = 1800
    tags: Mapping[str, str] | None = None
    description: str | None = None
    location: str | None = None
    identity_type: str | None = None
    identity_id: Sequence[str] | str | None = None

    def body(self) -> Document:
        inner = {
            "vmSize": self.vm_size, "vmPriority": {"dedicated": "Dedicated", "lowpriority": "LowPriority"}.get(self.vm_priority.lower(), self.vm_priority),
            "scaleSettings": {
                "minNodeCount": self.min_nodes, "maxNodeCount": self.max_nodes, "nodeIdleTimeBeforeScaleDown": f"PT{int(self.idle_seconds_before_scaledown)}S",
            },
        }
        properties: Document = {"computeType": "AmlCompute", "properties": inner}
        if self.description:
            properties["description"] = self.description
        return _body(properties, self.location, self.tags, identity_body(self.identity_type, self.identity_id))


@dataclass
class ComputeInstanceProvisioningConfiguration:
    """An instance: one place, for one person's jobs."""

    vm_size: str = "Standard_DS3_v2"
    tags: Mapping[str, str] | None = None
    description: str | None = None
    location: str | None = None
    identity_type: str | None = None
    identity_id: Sequence[str] | str | None = None

    def body(self) -> Document:
        properties: Document = {"computeType": "ComputeInstance", "properties": {"vmSize": self.vm_size}}
        if self.description:
            properties["description"] = self.description
        return _body(properties, self.location, self.tags, identity_body(self.identity_type, self.identity_id))


@dataclass
class KubernetesAttachConfiguration:
    """A Kubernetes cluster that is there: a managed one of this server (AksCompute) or a connected one (KubernetesCompute)."""

    compute_type: str
    resource_id: str
    namespace: str | None = None
    identity_type: str | None = None
    identity_ids: Sequence[str] | str | None = None

    def body(self) -> Document:
        properties: Document = {"computeType": self.compute_type, "resourceId": self.resource_id}
        if self.namespace:
            properties["properties"] = {"namespace": self.namespace}
        return _body(properties, None, None, identity_body(self.identity_type, self.identity_ids))


def _body(properties: Document, location: str | None, tags: Mapping[str, str] | None, identity: Document | None) -> Document:
    body: Document = {"properties": properties}
    if location:
        body["location"] = properties["computeLocation"] = location
    if tags:
        body["tags"] = dict(tags)
    if identity:
        body["identity"] = identity
    return body


@dataclass
class AmlComputeStatus:
    """How a compute is. provisioning_state is Creating, Updating, Deleting, Succeeded or Failed."""

    provisioning_state: str
    allocation_state: str = ""
    current_node_count: int = 0
    target_node_count: int = 0


class ComputeTarget:
    """A compute that is there. ComputeTarget(ws, name) finds it, as what it is."""

    _type: ClassVar[str] = ""

    def __new__(cls, workspace: Workspace, name: str) -> "ComputeTarget":
        return _of(workspace, workspace.client.arm("GET", _path(workspace, name)), cls)

    workspace: Workspace
    _document: Document

    @staticmethod
    def create(workspace: Workspace, name: str, provisioning_configuration: ProvisioningConfiguration) -> "ComputeTarget":
        """Begins to make a compute; wait_for_completion waits until it is there."""
        return _of(workspace, workspace.client.arm("PUT", _path(workspace, name), _placed(provisioning_configuration.body(), workspace)))

    @staticmethod
    def attach(workspace: Workspace, name: str, attach_configuration: ProvisioningConfiguration) -> "ComputeTarget":
        """Attaches a compute that is there already."""
        return ComputeTarget.create(workspace, name, attach_configuration)

    @staticmethod
    def list(workspace: Workspace) -> "Sequence[ComputeTarget]":
        return [_of(workspace, d) for d in workspace.client.list(workspace.path + "/computes")]

    def wait_for_completion(self, show_output: bool = False, min_node_count: int | None = None, timeout_in_minutes: float = 25, **_: Any) -> None:
        """Waits until the compute is there. One that could not be made is an AlvaraError."""
        end, seen, step = time.monotonic() + timeout_in_minutes * 60, "", 0
        while True:
            state = self.provisioning_state
            if show_output and state != seen:
                print(f"{self.name}: {state}", flush=True)
                seen = state
            if state in ("Failed", "Canceled"):
                raise AlvaraError("ComputeProvisioningFailed", "; ".join(_errors(self._document)) or f"the compute {self.name} is {state}")
            if state == "Succeeded" and (min_node_count is None or self.get_status().current_node_count >= min_node_count):
                return
            if time.monotonic() > end:
                raise AlvaraError("Timeout", f"the compute {self.name} is {state} after {timeout_in_minutes} minutes")
            time.sleep(min(0.1 * step, 2.0))
            step += 1
            self.refresh_state()

    def refresh_state(self) -> None:
        """Reads the compute again."""
        self._document = self.workspace.client.arm("GET", self.path)

    def get_status(self) -> AmlComputeStatus:
        self.refresh_state()
        inner = self._properties.get("properties") or {}
        return AmlComputeStatus(
            self.provisioning_state, str(inner.get("allocationState") or inner.get("state") or ""), int(inner.get("currentNodeCount") or 0), int(inner.get("targetNodeCount") or 0)
        )

    def delete(self) -> None:
        """Deletes what was made; what was attached is let go with detach."""
        self._remove("Delete")

    def detach(self) -> None:
        self._remove("Detach")

    def _remove(self, action: str) -> None:
        path = f"{self.path}?underlyingResourceAction={action}"
        self.workspace.client.finish("DELETE", path)

    def serialize(self) -> dict[str, Any]:
        """The compute in the words of the wire."""
        return dict(self._document)

    @property
    def path(self) -> str:
        return _path(self.workspace, self.name)

    @property
    def name(self) -> str:
        return str(self._document["name"])

    @property
    def id(self) -> str:
        return str(self._document["id"])

    @property
    def type(self) -> str:
        return str(self._properties.get("computeType") or "")

    @property
    def provisioning_state(self) -> str:
        return str(self._properties.get("provisioningState") or "")

    @property
    def identity_type(self) -> str:
        """SystemAssigned, UserAssigned or None."""
        return str(self._identity.get("type") or "None")

    @property
    def principal_id(self) -> str:
        """Of the system-assigned identity; "" without one."""
        return str(self._identity.get("principalId") or "")

    @property
    def identity_ids(self) -> Sequence[str]:
        """Resource ids of the user-assigned identities."""
        return [*(self._identity.get("userAssignedIdentities") or {})]

    @property
    def missing_grants(self) -> Sequence[str]:
        """Roles that the identity was not granted, since whoever made the compute might not."""
        return [*(self._properties.get("missingGrants") or [])]

    @property
    def _identity(self) -> Document:
        return self._document.get("identity") or {}

    @property
    def _properties(self) -> Document:
        return self._document.get("properties") or {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, provisioning_state={self.provisioning_state!r})"


class AmlCompute(ComputeTarget):
    """A cluster.

        config = AmlCompute.provisioning_configuration(vm_size="Standard_DS3_v2", max_nodes=2, identity_type="SystemAssigned")
        cluster = ComputeTarget.create(ws, "cpu", config)
        cluster.wait_for_completion()
    """

    _type = "AmlCompute"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "Standard_DS3_v2", vm_priority: str = "dedicated", min_nodes: int = 0, max_nodes: int | None = None,
        idle_seconds_before_scaledown: int = 1800, tags: Mapping[str, str] | None = None, description: str | None = None,
        identity_type: str | None = None, identity_id: Sequence[str] | str | None = None, location: str | None = None, **refused: Any,
    ) -> AmlComputeProvisioningConfiguration:
        for name, value in refused.items():
            if value is not None:
                raise AlvaraError("NotSupported", f"{name} is not offered: nodes are places on the server's machine, without networks of their own or users who sign in", target=name)
        return AmlComputeProvisioningConfiguration(
            vm_size, vm_priority, min_nodes, max(1, min_nodes) if max_nodes is None else max_nodes, idle_seconds_before_scaledown, tags, description, location, identity_type, identity_id
        )

    def update(self, min_nodes: int | None = None, max_nodes: int | None = None, idle_seconds_before_scaledown: int | None = None) -> None:
        """Changes the scale."""
        scale = dict((self._properties.get("properties") or {}).get("scaleSettings") or {})
        for name, value in (("minNodeCount", min_nodes), ("maxNodeCount", max_nodes)):
            if value is not None:
                scale[name] = value
        if idle_seconds_before_scaledown is not None:
            scale["nodeIdleTimeBeforeScaleDown"] = f"PT{idle_seconds_before_scaledown}S"
        body = {"properties": {"properties": {"scaleSettings": scale}}}
        self._document = self.workspace.client.finish("PATCH", self.path, body)

    def add_identity(self, identity_type: str, identity_id: Sequence[str] | str | None = None) -> None:
        """Gives the cluster identities: its own, or user-assigned ones beside those that it has."""
        added = identity_body(identity_type, identity_id) or {}
        if added.get("userAssignedIdentities") and self.identity_type == USER_ASSIGNED:
            added["userAssignedIdentities"] = {**{i: {} for i in self.identity_ids}, **added["userAssignedIdentities"]}
        self._document = self.workspace.client.finish("PATCH", self.path, {"identity": added})

    def remove_identity(self, identity_id: Sequence[str] | str | None = None) -> None:
        """Takes user-assigned identities away, or without identity_id whatever identity there is."""
        gone = {i.lower() for i in ([identity_id] if isinstance(identity_id, str) else identity_id or [])}
        stay = [i for i in self.identity_ids if gone and i.lower() not in gone]
        identity: Document = {"type": "None"}
        if stay:
            have = {i: {} if i in stay else None for i in self.identity_ids}  # null takes one away
            identity = {"type": USER_ASSIGNED, "userAssignedIdentities": have}
        self._document = self.workspace.client.finish("PATCH", self.path, {"identity": identity})


class ComputeInstance(ComputeTarget):
    """An instance."""

    _type = "ComputeInstance"

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "Standard_DS3_v2", tags: Mapping[str, str] | None = None, description: str | None = None, identity_type: str | None = None,
        identity_id: Sequence[str] | str | None = None, location: str | None = None,
    ) -> ComputeInstanceProvisioningConfiguration:
        return ComputeInstanceProvisioningConfiguration(vm_size, tags, description, location, identity_type, identity_id)

    def start(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        self._do("start")

    def stop(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        self._do("stop")

    def restart(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        self._do("restart")

    def _do(self, action: str) -> None:
        self.workspace.client.finish("POST", f"{self.path}/{action}")


class AksCompute(ComputeTarget):
    """A managed Kubernetes cluster on which endpoints run."""

    _type = "AKS"

    @staticmethod
    def attach_configuration(
        resource_group: str | None = None, cluster_name: str | None = None, resource_id: str | None = None, subscription_id: str | None = None
    ) -> "KubernetesAttachConfiguration":
        if resource_id is None:
            if not (resource_group and cluster_name and subscription_id):
                raise AlvaraError("InvalidArgument", "resource_id was expected, or subscription_id, resource_group and cluster_name")
            resource_id = f"/subscriptions/{subscription_id}/resourceGroups/{resource_group}/providers/Microsoft.ContainerService/managedClusters/{cluster_name}"
        return KubernetesAttachConfiguration("AKS", resource_id)


class KubernetesCompute(ComputeTarget):
    """A connected Kubernetes cluster."""

    _type = "Kubernetes"

    @staticmethod
    def attach_configuration(
        resource_id: str, namespace: str | None = None, identity_type: str | None = None, identity_ids: Sequence[str] | str | None = None
    ) -> "KubernetesAttachConfiguration":
        return KubernetesAttachConfiguration("Kubernetes", resource_id, namespace, identity_type, identity_ids)


def _path(workspace: Workspace, name: str) -> str:
    return f"{workspace.path}/computes/{segment(name)}"


def _placed(body: Document, workspace: Workspace) -> Document:
    return body if "location" in body else {**body, "location": workspace.location}


def _of(workspace: Workspace, document: Document, wanted: type[ComputeTarget] = ComputeTarget) -> ComputeTarget:
    kind = str((document.get("properties") or {}).get("computeType") or "")
    found = next((c for c in (AmlCompute, ComputeInstance, AksCompute, KubernetesCompute) if c._type.lower() == kind.lower()), ComputeTarget)
    if not issubclass(found, wanted):
        raise AlvaraError("ComputeTargetException", f"the compute {document['name']} is of type {kind}; {wanted._type} was expected")
    made = object.__new__(found)
    made.workspace, made._document = workspace, document
    return made


def _errors(document: Document) -> Sequence[str]:
    faults = (document.get("properties") or {}).get("provisioningErrors") or []
    return [str((f.get("error") or f).get("message") or "") for f in faults]
