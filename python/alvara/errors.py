"""The one exception of this package: a refusal by the server, or a call that cannot be made.

Every plane of the server refuses in a shape of its own; here they become one. What the server says is kept word for word,
since it names what is missing and the command that cures it.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence
from xml.etree import ElementTree


class AlvaraError(Exception):
    """A call that was refused.

    ``code`` is the server's own word, such as ``AuthorizationFailed``; ``status`` the HTTP status, 0 when there was no
    answer of the server or a long-running operation ended badly; ``target`` the field that is meant; ``details`` the faults
    below this one.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 0,
        target: str = "",
        details: Sequence["AlvaraError"] = (),
    ) -> None:
        self.code, self.message, self.status, self.target, self.details = code, message, status, target, tuple(details)
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"({self.code}) {self.message}" if self.code else self.message
        if self.target and self.target not in self.message:
            text += f"\nTarget: {self.target}"
        for detail in self.details:
            if detail.message not in self.message:
                text += "\n- " + str(detail).replace("\n", "\n  ")
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.status, self.target, self.details)


def from_document(document: Mapping[str, Any], status: int = 0) -> AlvaraError:
    """Reads the object under "error" of an answer in the resource manager's form."""
    details = [from_document(d, status) for d in document.get("details") or [] if isinstance(d, Mapping)]
    message = str(document.get("message") or "the server gave no reason")
    return AlvaraError(str(document.get("code") or ""), message, status, str(document.get("target") or ""), details)


def from_answer(status: int, body: bytes) -> AlvaraError:
    """Reads a refusal in any of the server's forms: the resource manager's, the token service's and the storage's."""
    text = body.decode("utf-8", "replace").strip().lstrip("\ufeff")
    if text.startswith("{"):
        try:
            document = json.loads(text)
        except ValueError:
            document = {}
        error = document.get("error")
        if isinstance(error, Mapping):
            return from_document(error, status)
        if isinstance(error, str):
            return AlvaraError(error, str(document.get("error_description") or error), status)
        if isinstance(document.get("errors"), list) and document["errors"]:
            return from_document(document["errors"][0], status)
        if "code" in document or "message" in document:
            return from_document(document, status)
    if text.startswith("<"):
        try:
            root = ElementTree.fromstring(text)
            return AlvaraError(root.findtext("Code") or f"HTTP{status}", root.findtext("Message") or text, status)
        except ElementTree.ParseError:
            pass
    return AlvaraError(f"HTTP{status}", text[:2000] or "the server gave no reason", status)
