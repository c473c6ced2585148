"""Who calls: ways to get access tokens, none of which keeps a password of its own.

A credential is anything with ``get_token(*scopes)`` that gives an object with ``token`` and ``expires_on`` (seconds since
1970), so that every credential of azure-identity fits wherever one of these does.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Protocol, Sequence

import requests

from .endpoints import Endpoints
from .errors import AlvaraError, from_answer

# The resources that tokens are asked for, as the original names them.
RESOURCE_MANAGER = "https://management.azure.com/"
STORAGE = "https://storage.azure.com/"
MACHINE_LEARNING = "https://ml.azure.com/"


class AccessToken(NamedTuple):
    """A bearer token, and when it ends in seconds since 1970."""

    token: str
    expires_on: int


class TokenCredential(Protocol):
    """What every call needs; azure-identity's credentials are such."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any: ...


def scope_of(resource: str) -> str:
    return resource.rstrip("/") + "/.default"


def _resource_of(scopes: Sequence[str]) -> str:
    if len(scopes) != 1:
        raise AlvaraError("InvalidScope", f"one scope was expected, such as {scope_of(RESOURCE_MANAGER)}; {len(scopes)} were given")
    return scopes[0].removesuffix(".default").rstrip("/")


def _answer(document: Mapping[str, Any]) -> AccessToken:
    token = document.get("access_token") or document.get("accessToken")
    if not token:
        raise AlvaraError("NoToken", "the token service answered without an access token")
    on = document.get("expires_on")
    end = int(on) if on and str(on).isdigit() else int(time.time()) + int(document.get("expires_in") or 0)
    return AccessToken(str(token), end)


class ManagedIdentityCredential:
    """The identity of the place where this runs: inside a job, a build or a deployment.

    It asks the local identity endpoint (IDENTITY_ENDPOINT, or MSI_ENDPOINT in the older form). ``client_id`` picks one of
    several identities; without it AZURE_CLIENT_ID or DEFAULT_IDENTITY_CLIENT_ID counts, and then the first one.
    """

    def __init__(self, client_id: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env
        self._client_id = client_id or self._env.get("AZURE_CLIENT_ID") or self._env.get("DEFAULT_IDENTITY_CLIENT_ID")

    @staticmethod
    def available(env: Mapping[str, str]) -> bool:
        return bool(env.get("IDENTITY_ENDPOINT") or env.get("MSI_ENDPOINT"))

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        query = {"resource": _resource_of(scopes)}
        if self._env.get("IDENTITY_ENDPOINT"):
            url, version, parameter = self._env["IDENTITY_ENDPOINT"], "2019-08-01", "client_id"
            headers = {"X-IDENTITY-HEADER": self._env.get("IDENTITY_HEADER", "")}
        elif self._env.get("MSI_ENDPOINT"):
            url, version, parameter = self._env["MSI_ENDPOINT"], "2017-09-01", "clientid"
            headers = {"Secret": self._env.get("MSI_SECRET", "")}
        else:
            raise AlvaraError(
                "NoIdentity", "there is no identity endpoint here: it exists inside what the server runs as an identity, such as jobs"
            )
        if self._client_id:
            query[parameter] = self._client_id
        with requests.Session() as session:
            session.trust_env = False  # the endpoint is local: no proxy may see its secret
            try:
                answer = session.get(
                    url, params={**query, "api-version": version}, headers={**headers, "Metadata": "true"}, timeout=60, allow_redirects=False
                )
            except requests.RequestException as error:
                raise AlvaraError("NoIdentity", f"the identity endpoint does not answer: {error}") from error
        if answer.status_code != 200:
            raise from_answer(answer.status_code, answer.content)
        return _answer(answer.json())


class ServicePrincipalCredential:
    """An application with a secret, or with a federated token that somebody else signed."""

    def __init__(
        self,
        tenant_id: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        federated_token: Callable[[], str] | None = None,
        endpoints: Endpoints | None = None,
    ) -> None:
        if not client_secret and federated_token is None:
            raise AlvaraError("NoCredential", "client_secret or federated_token was expected")
        self._tenant, self._client_id, self._secret, self._federated = tenant_id, client_id, client_secret, federated_token
        self._endpoints = endpoints

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        endpoints = self._endpoints or Endpoints.from_environment()
        form = {"grant_type": "client_credentials", "client_id": self._client_id, "scope": scope_of(_resource_of(scopes))}
        if self._federated is not None:
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form["client_assertion"] = self._federated()
        else:
            form["client_secret"] = self._secret or ""
        try:
            answer = requests.post(
                f"{endpoints.authority}/{self._tenant}/oauth2/v2.0/token", data=form, timeout=60, verify=endpoints.verify, allow_redirects=False
            )
        except requests.RequestException as error:
            raise AlvaraError("NoServer", f"the token service does not answer: {error}") from error
        if answer.status_code != 200:
            raise from_answer(answer.status_code, answer.content)
        return _answer(answer.json())


class CommandLineCredential:
    """Whoever is signed in with the command line: `alvara account get-access-token` is asked."""

    def __init__(self, command: str | None = None, env: Mapping[str, str] | None = None) -> None:
        self._env = dict(os.environ if env is None else env)
        self._command = command or self._env.get("ALVARA_BINARY") or shutil.which("alvara", path=self._env.get("PATH")) or ""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        if not self._command:
            raise AlvaraError("NoCommand", "the program alvara is not in PATH; name it with ALVARA_BINARY")
        arguments = [self._command, "account", "get-access-token", "--resource", _resource_of(scopes), "-o", "json"]
        done = subprocess.run(arguments, capture_output=True, text=True, env=self._env, timeout=120)
        if done.returncode != 0:
            raise AlvaraError("NotSignedIn", done.stderr.strip().removeprefix("ERROR: ") or f"{arguments[0]} ended with {done.returncode}")
        return _answer(json.loads(done.stdout))


class LocalCredential:
    """The owner of a server's data folder, as the local administrator: the socket in it asks for no password."""

    def __init__(self, data: str | os.PathLike[str]) -> None:
        self._socket = Path(data).resolve() / "alvara.sock"

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        connection = _SocketConnection(str(self._socket))
        try:
            body = json.dumps({"resource": _resource_of(scopes)})
            connection.request("POST", "/login", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        except OSError as error:
            raise AlvaraError("NoServer", f"no server answers at {self._socket}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise from_answer(answer.status, text)
        return _answer(json.loads(text))


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("local", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Credential:
    """Whoever this program is, found out in this order:

    1. a service principal that the environment names (AZURE_CLIENT_ID and AZURE_TENANT_ID with AZURE_CLIENT_SECRET or
       AZURE_FEDERATED_TOKEN_FILE),
    2. inside a job, the job's managed identity,
    3. whoever owns the data folder that ALVARA_DATA names,
    4. whoever is signed in with the command line.

    ``Credential(other)`` takes any credential of azure-identity instead. Tokens are kept until two minutes before they end.
    It may be used by several threads.
    """

    def __init__(self, credential: TokenCredential | None = None, *, env: Mapping[str, str] | None = None, endpoints: Endpoints | None = None) -> None:
        self._source: TokenCredential = credential or _from_environment(os.environ if env is None else env, endpoints)
        self._tokens: dict[str, AccessToken] = {}
        self._lock = threading.Lock()

    @property
    def source(self) -> TokenCredential:
        """The credential that was found."""
        return self._source

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        scope = scope_of(_resource_of(scopes))
        with self._lock:
            kept = self._tokens.get(scope)
            if kept is None or kept.expires_on < time.time() + 120:
                fresh = self._source.get_token(scope)
                kept = self._tokens[scope] = AccessToken(fresh.token, int(fresh.expires_on))
            return kept


def _from_environment(env: Mapping[str, str], endpoints: Endpoints | None) -> TokenCredential:
    client, tenant = env.get("AZURE_CLIENT_ID", ""), env.get("AZURE_TENANT_ID", "") or (endpoints.tenant if endpoints else "")
    if client and env.get("AZURE_CLIENT_SECRET"):
        return ServicePrincipalCredential(tenant, client, env["AZURE_CLIENT_SECRET"], endpoints=endpoints)
    if client and env.get("AZURE_FEDERATED_TOKEN_FILE"):
        file = Path(env["AZURE_FEDERATED_TOKEN_FILE"])
        return ServicePrincipalCredential(tenant, client, federated_token=lambda: file.read_text().strip(), endpoints=endpoints)
    if ManagedIdentityCredential.available(env):
        return ManagedIdentityCredential(env=env)
    if env.get("ALVARA_DATA"):
        return LocalCredential(env["ALVARA_DATA"])
    return CommandLineCredential(env=env)
