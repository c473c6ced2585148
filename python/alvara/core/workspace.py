"""azureml.core.workspace, by its names."""

from ..connection import WorkspaceConnection
from ..workspace import Workspace

__all__ = ["Workspace", "WorkspaceConnection"]
