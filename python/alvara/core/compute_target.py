"""azureml.core.compute_target, by its names."""

from ..errors import AlvaraError as ComputeTargetException

__all__ = ["ComputeTargetException"]
