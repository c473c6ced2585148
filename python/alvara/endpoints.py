"""Where a server is: the addresses of its planes and the certificate authority to trust.

They come from the environment (``eval "$(alvara env --data DIR)"``, or what a job is given), from whoever signed in last with
the command line, or from the server's data folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from .errors import AlvaraError

_VARIABLES = {
    "resource_manager": ("ALVARA_ENDPOINT", "ALVARA_RESOURCE_MANAGER"),
    "authority": ("AZURE_AUTHORITY_HOST",),
    "tenant": ("AZURE_TENANT_ID",),
    "subscription": ("AZURE_SUBSCRIPTION_ID", "AZUREML_ARM_SUBSCRIPTION"),
    "blob": ("ALVARA_BLOB_ENDPOINT",),
    "features": ("ALVARA_FEATURES_ENDPOINT",),
    "ca_file": ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
}


@dataclass(frozen=True)
class Endpoints:
    """Absolute URLs without a slash at the end; ``ca_file`` is a PEM file, "" for the system's own authorities."""

    resource_manager: str = ""
    authority: str = ""
    tenant: str = ""
    subscription: str = ""
    blob: str = ""
    features: str = ""
    ca_file: str = ""

    @classmethod
    def from_document(cls, document: Mapping[str, Any], folder: Path | None = None) -> "Endpoints":
        """Reads what a server writes as ``endpoints.json``; a relative ``caFile`` is meant from the folder on."""
        ca = str(document.get("caFile") or "")
        if ca and folder is not None:
            ca = str(folder / ca)

        def url(name: str) -> str:
            return str(document.get(name) or "").rstrip("/")

        return cls(
            url("resourceManager"), url("authority"), str(document.get("tenant") or ""), str(document.get("subscription") or ""),
            url("blob"), url("features"), ca,
        )

    @classmethod
    def from_data(cls, folder: str | os.PathLike[str]) -> "Endpoints":
        """The server that keeps its data in a folder of this machine."""
        path = Path(folder).resolve()
        try:
            document = json.loads((path / "endpoints.json").read_text())
        except FileNotFoundError:
            raise AlvaraError(
                "NoServer", f"{path} has no endpoints.json: no server has run there yet; start one with `alvara serve --data {path}`"
            ) from None
        return cls.from_document(document, path)

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> "Endpoints":
        """What the environment says, with whoever signed in last with `alvara login` for the rest."""
        env = os.environ if env is None else env
        found: dict[str, str] = {}
        for field, names in _VARIABLES.items():
            value = next((env[n] for n in names if env.get(n)), "")
            if value:
                found[field] = value if field in ("tenant", "subscription", "ca_file") else value.rstrip("/")
        base = cls()
        if "resource_manager" not in found:
            session = _profile_session(env)
            if session is not None:
                base = cls.from_document(session.get("endpoints") or {})
                if base.ca_file:
                    found.pop("ca_file", None)  # the server's own authority, which the variable may not name
        endpoints = dataclasses.replace(base, **found)
        if not endpoints.resource_manager:
            raise AlvaraError(
                "NoServer",
                "no server is known: set ALVARA_ENDPOINT (as `eval \"$(alvara env --data DIR)\"` does), "
                "sign in with `alvara login --local --data DIR`, or give Endpoints.from_data(DIR)",
            )
        if not endpoints.features:
            endpoints = dataclasses.replace(endpoints, features=endpoints.resource_manager + "/features")
        if not endpoints.authority:
            endpoints = dataclasses.replace(endpoints, authority=endpoints.resource_manager)
        return endpoints

    @property
    def verify(self) -> str | bool:
        """What requests takes as ``verify``: certificates are always checked."""
        return self.ca_file or True


def profile_folder(env: Mapping[str, str]) -> Path:
    """The folder in which the command line keeps who is signed in."""
    return Path(env["ALVARA_CONFIG_DIR"]) if env.get("ALVARA_CONFIG_DIR") else Path(env.get("HOME") or Path.home()) / ".alvara"


def _profile_session(env: Mapping[str, str]) -> Mapping[str, Any] | None:
    try:
        profile = json.loads((profile_folder(env) / "profile.json").read_text())
    except (OSError, ValueError):
        return None
    sessions = profile.get("sessions") or {}
    for account in profile.get("accounts") or []:
        if account.get("isDefault"):
            return sessions.get(account.get("session"))
    return next(iter(sessions.values()), None)
