"""The calls of the document on managed identities, against a server (MI-01, MI-02, MI-05, MI-11, MI-12, MI-15, MI-19)."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from alvara import AlvaraError, AmlCompute, ComputeInstance, ComputeTarget, Environment, RegistryIdentity, Workspace
from alvara.core.compute import AmlComputeProvisioningConfiguration, ComputeTargetException
from alvara.wire import Client

IDENTITY_API = "2023-01-31"
REGISTRY_API = "2023-07-01"
ROLES_API = "2022-04-01"


class Azure:
    """What the tests make beside workspaces."""

    def __init__(self, client: Client, group: str) -> None:
        self.client = client
        self.scope = f"/subscriptions/{client.endpoints.subscription}/resourceGroups/{group}"

    def identity(self, name: str) -> dict:
        return self.client.arm("PUT", f"{self.scope}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}", {"location": "westeurope"}, api_version=IDENTITY_API)

    def registry(self, name: str) -> dict:
        body = {"location": "westeurope", "sku": {"name": "Basic"}}
        return self.client.finish("PUT", f"{self.scope}/providers/Microsoft.ContainerRegistry/registries/{name}", body, api_version=REGISTRY_API)

    def grant(self, principal: str, role: str, scope: str) -> None:
        found = [*self.client.list(f"{scope}/providers/Microsoft.Authorization/roleDefinitions", query={"$filter": f"roleName eq '{role}'"}, api_version=ROLES_API)]
        body = {"properties": {"roleDefinitionId": found[0]["id"], "principalId": principal, "principalType": "ServicePrincipal"}}
        self.client.arm("PUT", f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}", body, api_version=ROLES_API)

    def roles(self, principal: str) -> set[str]:
        """The ids of the role definitions that a principal is assigned."""
        at = f"/subscriptions/{self.client.endpoints.subscription}/providers/Microsoft.Authorization/roleAssignments"
        found = self.client.list(at, query={"$filter": f"principalId eq '{principal}'"}, api_version=ROLES_API)
        return {a["properties"]["roleDefinitionId"].rsplit("/", 1)[1] for a in found}


ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"


@pytest.fixture(scope="module")
def azure(client: Client, group: str) -> Azure:
    return Azure(client, group)


@pytest.fixture(scope="module")
def ws(client: Client, group: str) -> Workspace:
    return Workspace.create(name="pyws", resource_group=group, client=client, show_output=False, tags={"team": "fraud"})


def test_create_get_list_config(client: Client, group: str, ws: Workspace, tmp_path: Path) -> None:
    assert (ws.name, ws.location, ws.tags) == ("pyws", "westeurope", {"team": "fraud"})
    again = Workspace.get("pyws", resource_group=group, client=client)
    assert again.id == ws.id
    assert Workspace.get("pyws", client=client).id == ws.id
    assert [w.id for w in Workspace.list(client=client)["pyws"]] == [ws.id]
    file = ws.write_config(tmp_path)
    assert Workspace.from_config(file, client=client).id == ws.id
    assert Workspace.from_config(tmp_path, client=client).id == ws.id
    with pytest.raises(AlvaraError) as refused:
        Workspace.create(name="pyws", resource_group=group, client=client)
    assert (refused.value.code, refused.value.status) == ("WorkspaceExists", 409)
    assert Workspace.create(name="pyws", resource_group=group, client=client, exist_ok=True).id == ws.id
    # The registry is made by the first operation that needs one (MI-03), so that there is none yet.
    assert not ws.get_details().get("containerRegistry")
    assert ws.update(description="trains")["description"] == "trains"


def test_what_is_not_there(client: Client, group: str) -> None:
    with pytest.raises(AlvaraError) as missing:
        Workspace.get("nothing", resource_group=group, client=client)
    assert missing.value.status == 404 and "nothing" in missing.value.message
    with pytest.raises(AlvaraError) as unknown:
        Workspace.get("nothing", client=client)
    assert unknown.value.status == 404


def test_bring_your_own_registry(client: Client, group: str, azure: Azure) -> None:
    """MI-02: a registry without an admin user, and a workspace that uses it."""
    registry = azure.registry("pybyo")
    assert registry["properties"]["adminUserEnabled"] is False
    made = Workspace.create(name="byo", resource_group=group, location="westeurope", container_registry=registry["id"], client=client, show_output=False)
    assert made.get_details()["containerRegistry"].lower() == registry["id"].lower()
    # MI-05: a cluster that comes after the registry may pull from it by itself.
    cluster = ComputeTarget.create(made, "cpu", AmlCompute.provisioning_configuration(identity_type="SystemAssigned"))
    cluster.wait_for_completion()
    cluster.refresh_state()
    assert cluster.identity_type == "SystemAssigned" and ACR_PULL in azure.roles(cluster.principal_id)
    cluster.delete()
    made.delete()
    with pytest.raises(AlvaraError):
        Workspace.get("byo", resource_group=group, client=client)


def test_primary_user_assigned_identity(client: Client, group: str, ws: Workspace, azure: Azure) -> None:
    """MI-15: everything is brought along, and one refusal lists what is missing."""
    identity = azure.identity("primary")
    with pytest.raises(AlvaraError) as refused:
        Workspace.create(name="pyprimary", resource_group=group, primary_user_assigned_identity=identity["id"], client=client, show_output=False)
    for what in ("storageAccount", "keyVault", "applicationInsights", "containerRegistry"):
        assert what in str(refused.value)
    registry, details = azure.registry("pyprimary"), ws.get_details()
    brought = {
        "storage_account": details["storageAccount"], "key_vault": details["keyVault"], "app_insights": details["applicationInsights"], "container_registry": registry["id"],
    }
    with pytest.raises(AlvaraError) as lacking:
        Workspace.create(name="pyprimary", resource_group=group, primary_user_assigned_identity=identity["id"], client=client, show_output=False, **brought)
    assert "Storage Blob Data Contributor" in str(lacking.value) and "alvara role assignment create" in str(lacking.value)
    principal = identity["properties"]["principalId"]
    azure.grant(principal, "Contributor", azure.scope)
    azure.grant(principal, "Storage Blob Data Contributor", details["storageAccount"])
    azure.grant(principal, "Key Vault Administrator", details["keyVault"])
    made = Workspace.create(name="pyprimary", resource_group=group, primary_user_assigned_identity=identity["id"], client=client, show_output=False, **brought)
    assert made.identity["type"] == "UserAssigned"
    assert made.get_details()["primaryUserAssignedIdentity"].lower() == identity["id"].lower()


@pytest.mark.parametrize("given", ["user_assigned_identity_for_cmk_encryption", "cmk_keyvault", "private_endpoint_config"])
def test_what_is_not_offered_is_refused_by_name(client: Client, group: str, given: str) -> None:
    with pytest.raises(AlvaraError) as refused:
        Workspace.create(name="refused", resource_group=group, client=client, **{given: "x"})
    assert refused.value.code == "NotSupported" and refused.value.target == given and given in str(refused.value)


def test_connections(ws: Workspace, azure: Azure) -> None:
    """MI-11: set_connection as the document writes it."""
    identity = azure.identity("puller")
    value = {"ResourceId": identity["id"], "ClientId": identity["properties"]["clientId"]}
    made = ws.set_connection(name="privateAcr", category="ACR", target="private.azurecr.io", authType="RegistryConnection", value=value)
    assert (made.name, made.category, made.target, made.auth_type) == ("privateAcr", "ACR", "private.azurecr.io", "RegistryConnection")
    shown = {key.lower(): text for key, text in made.credentials.items()}
    assert shown == {"resourceid": identity["id"], "clientid": identity["properties"]["clientId"]}
    assert [c.name for c in ws.list_connections(category="acr")] == ["privateAcr"]
    assert not ws.list_connections(target="elsewhere")
    assert ws.get_connection("privateAcr").id == made.id
    with pytest.raises(AlvaraError) as refused:
        ws.set_connection("bad", "ACR", "private.azurecr.io", "RegistryConnection", {**value, "ClientId": str(uuid.uuid4())})
    assert refused.value.code == "ClientIdMismatch"
    ws.delete_connection("privateAcr")
    assert not ws.list_connections()


def test_computes(ws: Workspace, azure: Azure) -> None:
    """MI-05, MI-07: identities of clusters, given when they are made and afterwards."""
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_DS3_V2", vm_priority="lowpriority", max_nodes=2, identity_type="SystemAssigned", tags={"a": "b"})
    assert isinstance(config, AmlComputeProvisioningConfiguration)
    cluster = ComputeTarget.create(ws, "cpu-cluster", config)
    cluster.wait_for_completion(show_output=False)
    cluster.refresh_state()
    assert isinstance(cluster, AmlCompute) and cluster.type == "AmlCompute"
    assert cluster.identity_type == "SystemAssigned" and cluster.principal_id
    first, second = azure.identity("first"), azure.identity("second")
    cluster.add_identity("UserAssigned", first["id"])
    cluster.add_identity("UserAssigned", [second["id"]])
    assert sorted(i.lower() for i in cluster.identity_ids) == sorted([first["id"].lower(), second["id"].lower()])
    cluster.remove_identity(first["id"])
    assert [i.lower() for i in cluster.identity_ids] == [second["id"].lower()]
    cluster.remove_identity()
    assert cluster.identity_type == "None"
    cluster.update(max_nodes=3, idle_seconds_before_scaledown=60)
    scale = ComputeTarget(ws, "cpu-cluster").serialize()["properties"]["properties"]["scaleSettings"]
    assert (scale["maxNodeCount"], scale["nodeIdleTimeBeforeScaleDown"]) == (3, "PT60S")

    user = ComputeTarget.create(ws, "user", AmlCompute.provisioning_configuration(identity_type="UserAssigned", identity_id=[first["id"]]))
    user.wait_for_completion()
    assert user.get_status().provisioning_state == "Succeeded"
    ComputeTarget.create(ws, "notebook", ComputeInstance.provisioning_configuration(identity_type="SystemAssigned")).wait_for_completion()
    assert isinstance(ws.compute_targets["notebook"], ComputeInstance)
    assert set(ws.compute_targets) >= {"cpu-cluster", "user", "notebook"}
    with pytest.raises(ComputeTargetException):
        AmlCompute(ws, "notebook")
    with pytest.raises(ComputeTargetException) as missing:
        ComputeTarget(ws, "nothing")
    assert missing.value.status == 404
    with pytest.raises(AlvaraError, match="identity_type"):
        AmlCompute.provisioning_configuration(identity_type="SystemAssigned", identity_id=[first["id"]]).body()
    with pytest.raises(AlvaraError, match="vnet_name"):
        AmlCompute.provisioning_configuration(vnet_name="net")
    for name in ("cpu-cluster", "user", "notebook"):
        ComputeTarget(ws, name).delete()
    assert not ws.compute_targets


def test_environments(ws: Workspace, azure: Azure) -> None:
    """MI-09, MI-12: an image as it is, an image to build, and the identity that pulls the base."""
    env = Environment(name="private-acr")
    env.docker.base_image = "private.azurecr.io/base/train:1"
    env.python.user_managed_dependencies = True
    env.register(ws)
    assert env.version == "1"
    assert env.build(ws).wait_for_completion(show_output=False).status == "NotNeeded"
    # What is described already is not described again; something else is another version.
    same = Environment.from_docker_image("private-acr", "private.azurecr.io/base/train:1")
    assert same.register(ws).version == "1"
    other = Environment.from_docker_image("private-acr", "private.azurecr.io/base/train:2")
    assert other.register(ws).version == "2"
    assert Environment.get(ws, "private-acr").docker.base_image == "private.azurecr.io/base/train:2"
    assert Environment.get(ws, "private-acr", version="1").python.user_managed_dependencies

    puller = azure.identity("envpuller")
    mine = Environment(name="my-env")
    identity = RegistryIdentity()
    identity.resource_id = puller["id"]
    identity.client_id = puller["properties"]["clientId"]
    mine.docker.base_image_registry.registry_identity = identity
    mine.docker.base_image_registry.address = "my-acr.azurecr.io"
    mine.docker.base_image = "my-repo/my-image:latest"
    mine.register(ws)
    found = ws.environments["my-env"]
    assert found.docker.base_image == "my-acr.azurecr.io/my-repo/my-image:latest"
    assert not found.python.user_managed_dependencies and found.python.conda_dependencies is not None
    kept = found.docker.base_image_registry.registry_identity
    assert kept is not None and kept.client_id == puller["properties"]["clientId"]
    assert mine.get_image_details(ws)["state"] == "NotBuilt"


def test_environment_that_only_a_compute_may_pull(ws: Workspace, azure: Azure) -> None:
    """MI-10: without user_managed_dependencies the service would build, and may not read the base image."""
    registry = azure.registry("pybases")
    env = Environment("needs-a-build")
    env.docker.base_image = registry["properties"]["loginServer"] + "/base/train:1"
    env.register(ws)
    with pytest.raises(AlvaraError) as refused:
        env.build(ws)
    assert refused.value.code == "BaseImageIdentityMissing" and "pulled as the identity of the compute" in str(refused.value)


def test_passwords_of_registries_are_refused(ws: Workspace) -> None:
    env = Environment.from_docker_image("password", "private.azurecr.io/base/train:1")
    env.docker.base_image_registry.username, env.docker.base_image_registry.password = "u", "p"
    with pytest.raises(AlvaraError, match="pulled as identities"):
        env.register(ws)


def test_diagnose(ws: Workspace) -> None:
    assert isinstance(ws.diagnose_workspace(), dict)


def test_the_group_is_made_where_it_is_missing(client: Client) -> None:
    with pytest.raises(AlvaraError, match="give location"):
        Workspace.create(name="lonely", resource_group="pynew", client=client)
    with pytest.raises(AlvaraError) as refused:
        Workspace.create(name="lonely", resource_group="pynew", location="westeurope", create_resource_group=False, client=client)
    assert refused.value.status == 404
    made = Workspace.create(name="lonely", resource_group="pynew", location="westeurope", client=client, show_output=False)
    assert made.resource_group == "pynew"
