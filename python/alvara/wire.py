"""Requests to the planes of a server: tokens, errors as AlvaraError, paging, long-running operations, repeats where the server
asks for them. It knows no resource type."""

from __future__ import annotations

import time
import uuid
from typing import Any, Callable, Iterator, Mapping
from urllib.parse import quote, urljoin, urlsplit

import requests

from .credential import MACHINE_LEARNING, RESOURCE_MANAGER, STORAGE, Credential, TokenCredential, scope_of
from .endpoints import Endpoints
from .errors import AlvaraError, from_answer, from_document

API_VERSION = "2024-10-01"
_ATTEMPTS = 4
_ENDED = {"", "succeeded", "failed", "canceled", "cancelled", "completed"}

Document = dict[str, Any]


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


class Client:
    """One caller at one server. It may be used by several threads."""

    def __init__(self, endpoints: Endpoints | None = None, credential: TokenCredential | None = None) -> None:
        self.endpoints = endpoints or Endpoints.from_environment()
        if isinstance(credential, Credential):
            self.credential = credential
        else:
            self.credential = Credential(credential, endpoints=self.endpoints)
        self._session = requests.Session()

    def arm(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None, api_version: str = API_VERSION) -> Document:
        """Calls the resource manager and gives the answer's JSON object; {} when there is none."""
        return _object(self._arm(method, path, body, query, api_version))

    def list(self, path: str, *, query: Mapping[str, Any] | None = None, api_version: str = API_VERSION) -> Iterator[Document]:
        """Gives the members of a collection, page by page."""
        answer = self._arm("GET", path, None, query, api_version)
        while True:
            page = _object(answer)
            yield from page.get("value") or []
            following = page.get("nextLink")
            if not following:
                return
            answer = self._follow(answer.url, following)

    def finish(self, method: str, path: str, body: Any = None, *, api_version: str = API_VERSION, watch: Callable[[str], None] | None = None) -> Document:
        """Calls the resource manager and waits until what the call began has ended: for PUT and PATCH it gives the resource, for
        POST the final answer, for DELETE {}. An operation that ends badly is an AlvaraError."""
        answer = self._arm(method, path, body, None, api_version)
        url, first = answer.url, _object(answer)
        operation, location = answer.headers.get("Azure-AsyncOperation"), answer.headers.get("Location")
        see = watch or (lambda _state: None)
        if operation:
            self._wait(url, operation, answer, lambda a: str(_object(a).get("status") or ""), see)
            if method in ("PUT", "PATCH"):
                return _object(self._follow(url, url))
            if method == "DELETE":
                return {}
            return _object(self._wait_location(url, location, answer, see)) if location else first
        if answer.status_code == 202 and location:
            return _object(self._wait_location(url, location, answer, see))
        if method in ("PUT", "PATCH"):
            answer = self._wait(url, url, answer, lambda a: _provisioning(_object(a)), see, look=True)
            return _object(answer)
        return first

    def features(self, path: str, **more: Any) -> requests.Response:
        """Sends a POST to the features plane; path begins with the feature store's id."""
        return self.send("POST", self.endpoints.features + path, MACHINE_LEARNING, **more)

    def storage(self, method: str, url: str, **more: Any) -> requests.Response:
        """Sends a request to the storage planes."""
        headers = {"x-ms-version": "2021-12-02", **(more.pop("headers", None) or {})}
        return self.send(method, url, STORAGE, headers=headers, **more)

    def send(
        self, method: str, url: str, resource: str, *, headers: Mapping[str, str] | None = None, body: Any = None, data: Any = None,
        query: Mapping[str, Any] | None = None, stream: bool = False, timeout: float = 600,
    ) -> requests.Response:
        """Sends a request with a token for the resource, or without one when resource is "". A status of 400 and more is an AlvaraError; 429 and
        503 are sent again after the time that the server asks for. data that is a file is read from its beginning again."""
        for attempt in range(1, _ATTEMPTS + 1):
            sent = {"Accept": "application/json", "x-ms-client-request-id": str(uuid.uuid4()), **(headers or {})}
            if resource:
                sent["Authorization"] = "Bearer " + self.credential.get_token(scope_of(resource)).token
            if hasattr(data, "seek"):
                data.seek(0)
            try:
                answer = self._session.request(
                    method, url, params=query, json=body, data=data, headers=sent, stream=stream, timeout=timeout,
                    verify=self.endpoints.verify, allow_redirects=False,
                )
            except requests.exceptions.SSLError as error:
                raise AlvaraError(
                    "CertificateNotTrusted", f"the certificate of {urlsplit(url).netloc} is not trusted: set REQUESTS_CA_BUNDLE to the server's tls/bundle.pem: {error}"
                ) from error
            except requests.RequestException as error:
                raise AlvaraError("NoServer", f"{method} {url}: {error}") from error
            if answer.status_code in (429, 503) and attempt < _ATTEMPTS:
                time.sleep(_pause(answer, attempt))
                continue
            if answer.status_code >= 300:
                raise from_answer(answer.status_code, answer.content)
            return answer
        raise AssertionError("unreachable")

    def _arm(self, method: str, path: str, body: Any, query: Mapping[str, Any] | None, api_version: str) -> requests.Response:
        query = {"api-version": api_version, **(query or {})}
        return self.send(method, self.endpoints.resource_manager + path, RESOURCE_MANAGER, body=body, query=query)

    def _follow(self, origin: str, to: str) -> requests.Response:
        target = urljoin(origin, to)
        if urlsplit(target)[:2] != urlsplit(origin)[:2]:
            raise AlvaraError("ForeignLink", f"the answer refers to another server, {urlsplit(target).netloc}; the token is not sent there")
        return self.send("GET", target, RESOURCE_MANAGER)

    def _wait(
        self, origin: str, at: str, answer: requests.Response, state_of: Callable[[requests.Response], str], watch: Callable[[str], None], look: bool = False
    ) -> requests.Response:
        step = 0
        while True:
            if look:
                state = state_of(answer)
                watch(state)
                if state.lower() in _ENDED:
                    _check(state, _object(answer))
                    return answer
            time.sleep(_pause(answer, step / 10))
            answer, look, step = self._follow(origin, at), True, step + 1

    def _wait_location(self, origin: str, location: str, answer: requests.Response, watch: Callable[[str], None]) -> requests.Response:
        step = 0
        while True:
            time.sleep(_pause(answer, step / 10))
            answer, step = self._follow(origin, location), step + 1
            if answer.status_code != 202:
                return answer
            watch("Running")
            location = answer.headers.get("Location") or location


def _object(answer: requests.Response) -> Document:
    if not answer.content.strip():
        return {}
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise AlvaraError("InvalidAnswer", f"{answer.url} did not answer with a JSON object", answer.status_code)
    return document


def _provisioning(document: Document) -> str:
    return str((document.get("properties") or {}).get("provisioningState") or "")


def _check(state: str, document: Document) -> None:
    if state.lower() not in ("failed", "canceled", "cancelled"):
        return
    error = document.get("error") or (document.get("properties") or {}).get("error")
    raise from_document(error or {"code": "Operation" + state, "message": f"the operation ended as {state} and the server gave no reason"})


def _pause(answer: requests.Response, otherwise: float) -> float:
    """Seconds to wait: what the server asks for, at most a minute; else otherwise, at most two seconds."""
    for header, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        text = answer.headers.get(header, "")
        if text.isdigit() and int(text) > 0:
            return min(int(text) * unit, 60.0)
    return min(max(otherwise, 0.05), 2.0)
