"""For code inside a job: what it measures, and which run it is.

    import alvara.run
    alvara.run.log_metric("loss", 0.12, step=3)
"""

from __future__ import annotations

import json
import math
import os
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Mapping

from .errors import AlvaraError

_lock = threading.Lock()


@dataclass(frozen=True)
class RunInfo:
    """The run that this program is: names, and the folders that belong to it."""

    id: str
    experiment: str
    workspace: str
    resource_group: str
    subscription_id: str
    inputs: Path
    outputs: Path

    def log(self, name: str, value: float, step: int | None = None) -> None:
        """The same as log_metric."""
        log_metric(name, value, step)


def current() -> RunInfo | None:
    """The run that this program is part of; None outside of one."""
    env = os.environ
    if not env.get("AZUREML_RUN_ID"):
        return None
    return RunInfo(
        env["AZUREML_RUN_ID"], env.get("AZUREML_EXPERIMENT_NAME", ""), env.get("AZUREML_ARM_WORKSPACE_NAME", ""), env.get("AZUREML_ARM_RESOURCEGROUP", ""),
        env.get("AZUREML_ARM_SUBSCRIPTION", ""), Path(env.get("ALVARA_INPUTS") or "/alvara/inputs"), Path(env.get("ALVARA_OUTPUTS") or "/alvara/outputs"),
    )


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Keeps a value with the run: one number under a name, of a step where there are several. Outside of a run nothing is kept, so that the
    same program works anywhere."""
    number = float(value)
    if not name:
        raise AlvaraError("InvalidArgument", "a metric needs a name", target="name")
    if not math.isfinite(number):
        raise AlvaraError("InvalidArgument", f"the metric {name} is {number}; a finite number was expected", target="value")
    file = os.environ.get("ALVARA_METRICS")
    if not file:
        return
    entry: dict[str, object] = {"name": name, "value": number}
    if step is not None:
        entry["step"] = int(step)
    entry["time"] = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    line = (json.dumps(entry) + "\n").encode()
    # One write of one line: lines of several processes do not mix.
    with _lock:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Keeps several values of one step."""
    for name, value in metrics.items():
        log_metric(name, value, step)
