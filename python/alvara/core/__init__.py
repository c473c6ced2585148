"""The modules of azureml-core by their names: ``from azureml.core import Workspace`` becomes ``from alvara.core import Workspace``."""

from ..compute import ComputeTarget
from ..environment import ContainerRegistry, Environment
from ..job import Experiment, Run, ScriptRunConfig
from ..workspace import Workspace

__all__ = ["ComputeTarget", "ContainerRegistry", "Environment", "Experiment", "Run", "ScriptRunConfig", "Workspace"]
