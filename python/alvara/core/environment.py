"""azureml.core.environment, by its names."""

from ..environment import CondaDependencies, DockerSection, Environment, ImageBuildDetails, PythonSection

__all__ = ["CondaDependencies", "DockerSection", "Environment", "ImageBuildDetails", "PythonSection"]
