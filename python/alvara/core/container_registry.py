"""azureml.core.container_registry, by its names."""

from ..environment import ContainerRegistry, RegistryIdentity

__all__ = ["ContainerRegistry", "RegistryIdentity"]
