"""Connections of a workspace: how something outside of it is reached, such as a registry with an identity."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Mapping


@dataclass
class WorkspaceConnection:
    """A connection as it is shown: credentials without what is secret."""

    id: str
    name: str
    category: str
    target: str
    authType: str  # the name that it has in azureml-core
    credentials: dict[str, Any] = field(default_factory=dict)

    @property
    def auth_type(self) -> str:
        return self.authType

    @property
    def value(self) -> str:
        """The credentials in the older form: JSON in a string."""
        return json.dumps(self.credentials)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "WorkspaceConnection":
        p = document.get("properties") or {}
        credentials = p.get("credentials") or {}
        value = p.get("value")
        if not credentials and value:
            credentials = json.loads(value) if isinstance(value, str) else value
        return cls(
            str(document.get("id") or ""), str(document.get("name") or ""), str(p.get("category") or ""), str(p.get("target") or ""),
            str(p.get("authType") or ""), dict(credentials),
        )


def properties(category: str, target: str, auth_type: str, value: Mapping[str, Any] | str) -> dict[str, Any]:
    """A connection on the wire, in the older form."""
    text = value if isinstance(value, str) else json.dumps(value)
    return {"category": category, "target": target, "authType": auth_type, "value": text, "valueFormat": "JSON"}
