"""For programs that import azureml-core and are not to be changed: one line before they do,

    import alvara.compat; alvara.compat.install()

makes ``from azureml.core import Workspace`` mean ``from alvara.core import Workspace``. ``import alvara.compat as azureml`` does without it where a
program writes ``azureml.core.Workspace``.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

from . import core
from .errors import AlvaraError

_MODULES = ("authentication", "compute", "compute_target", "conda_dependencies", "container_registry", "environment", "workspace")

__all__ = ["core", "install"]


def install() -> None:
    """Puts alvara.core in the place of azureml.core. Where azureml-core is installed, or was imported before, it is refused."""
    there = sys.modules.get("azureml")
    if there is not None and getattr(there, "__alvara__", False):
        return
    if there is not None or importlib.util.find_spec("azureml") is not None:
        raise AlvaraError("PackageConflict", "the package azureml is here already: uninstall azureml-core, or write alvara.core in the imports")
    package = types.ModuleType("azureml")
    package.__path__ = []  # type: ignore[attr-defined]
    setattr(package, "__alvara__", True)
    setattr(package, "core", core)
    sys.modules["azureml"] = package
    sys.modules["azureml.core"] = core
    for name in _MODULES:
        sys.modules["azureml.core." + name] = importlib.import_module("alvara.core." + name)
