"""Python client of Alvara: workspaces, computes, environments, jobs and features, with identities in place of passwords.

The names are those that people know from azureml-core; ``alvara.core`` has its modules, so that a program needs one changed import.
"""

from .compute import AksCompute, AmlCompute, AmlComputeProvisioningConfiguration, ComputeInstance, ComputeTarget, KubernetesCompute
from .connection import WorkspaceConnection
from .credential import AccessToken, CommandLineCredential, Credential, LocalCredential, ManagedIdentityCredential, ServicePrincipalCredential
from .endpoints import Endpoints
from .environment import CondaDependencies, ContainerRegistry, DockerSection, Environment, ImageBuildDetails, PythonSection, RegistryIdentity
from .errors import AlvaraError
from .features import FeatureStore, get_offline_features, get_online_features
from .job import Experiment, Run, ScriptRunConfig
from .workspace import Workspace

__version__ = "0.1.0"

__all__ = [
    "AccessToken", "AksCompute", "AlvaraError", "AmlCompute", "AmlComputeProvisioningConfiguration", "CommandLineCredential", "ComputeInstance", "ComputeTarget",
    "CondaDependencies", "ContainerRegistry", "Credential", "DockerSection", "Endpoints", "Environment", "Experiment", "FeatureStore", "ImageBuildDetails",
    "KubernetesCompute", "LocalCredential", "ManagedIdentityCredential", "PythonSection", "RegistryIdentity", "Run", "ScriptRunConfig",
    "ServicePrincipalCredential", "Workspace", "WorkspaceConnection", "get_offline_features", "get_online_features",
]
