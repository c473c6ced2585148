"""azureml.core.compute, by its names."""

from ..compute import AksCompute, AmlCompute, AmlComputeProvisioningConfiguration, ComputeInstance, ComputeTarget, KubernetesCompute
from ..errors import AlvaraError as ComputeTargetException

__all__ = ["AksCompute", "AmlCompute", "AmlComputeProvisioningConfiguration", "ComputeInstance", "ComputeTarget", "ComputeTargetException", "KubernetesCompute"]
