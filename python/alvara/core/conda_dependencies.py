"""azureml.core.conda_dependencies, by its names."""

from ..environment import CondaDependencies

__all__ = ["CondaDependencies"]
