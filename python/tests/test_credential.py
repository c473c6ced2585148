"""Who a program is, found out from its environment; none of this needs a server of the project."""

from __future__ import annotations

import json
import stat
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from alvara import AlvaraError, CommandLineCredential, Credential, Endpoints, LocalCredential, ManagedIdentityCredential, ServicePrincipalCredential
from alvara.credential import AccessToken

SCOPE = "https://management.azure.com/.default"


class Endpoint:
    """A place that gives tokens, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict, dict, str]] = []
        self.answer: tuple[int, dict] = (200, {"access_token": "t1", "expires_on": str(int(time.time()) + 3600)})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                url = urlsplit(self.path)
                query = {k: v[0] for k, v in parse_qs(url.query).items()}
                outer.asked.append((url.path, query, {k.lower(): v for k, v in self.headers.items()}, self.rfile.read(length).decode()))
                status, document = outer.answer
                text = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_managed_identity_in_the_newer_form(endpoint: Endpoint) -> None:
    """MI-20: the identity endpoint as the Azure SDKs ask it."""
    env = {"IDENTITY_ENDPOINT": endpoint.url + "/token", "IDENTITY_HEADER": "secret", "AZURE_CLIENT_ID": "c1"}
    credential = Credential(env=env)
    assert isinstance(credential.source, ManagedIdentityCredential)
    assert credential.get_token(SCOPE).token == "t1"
    path, query, headers, _ = endpoint.asked[0]
    assert (path, query) == ("/token", {"resource": "https://management.azure.com", "api-version": "2019-08-01", "client_id": "c1"})
    assert headers["x-identity-header"] == "secret"


def test_managed_identity_in_the_older_form(endpoint: Endpoint) -> None:
    env = {"MSI_ENDPOINT": endpoint.url, "MSI_SECRET": "secret", "DEFAULT_IDENTITY_CLIENT_ID": "c2"}
    ManagedIdentityCredential(env=env).get_token(SCOPE)
    _, query, headers, _ = endpoint.asked[0]
    assert (query["api-version"], query["clientid"], headers["secret"]) == ("2017-09-01", "c2", "secret")


def test_tokens_are_kept_until_shortly_before_they_end(endpoint: Endpoint) -> None:
    credential = Credential(env={"IDENTITY_ENDPOINT": endpoint.url})
    for _ in range(3):
        credential.get_token(SCOPE)
    credential.get_token("https://storage.azure.com/.default")
    assert len(endpoint.asked) == 2
    endpoint.answer = (200, {"access_token": "t2", "expires_in": 60})
    credential.get_token("https://ml.azure.com/.default")
    credential.get_token("https://ml.azure.com/.default")
    assert len(endpoint.asked) == 4


def test_refusal_is_kept_word_for_word(endpoint: Endpoint) -> None:
    endpoint.answer = (403, {"error": "unauthorized", "error_description": "the secret is not this run's"})
    with pytest.raises(AlvaraError) as refused:
        Credential(env={"IDENTITY_ENDPOINT": endpoint.url}).get_token(SCOPE)
    assert (refused.value.code, refused.value.message, refused.value.status) == ("unauthorized", "the secret is not this run's", 403)


def test_service_principal(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoints = Endpoints(resource_manager=endpoint.url, authority=endpoint.url, tenant="t")
    env = {"AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": "s", "IDENTITY_ENDPOINT": "http://127.0.0.1:1/"}
    Credential(env=env, endpoints=endpoints).get_token(SCOPE)
    path, _, _, body = endpoint.asked[0]
    assert path == "/t/oauth2/v2.0/token"
    form = {k: v[0] for k, v in parse_qs(body).items()}
    assert form == {"grant_type": "client_credentials", "client_id": "app", "client_secret": "s", "scope": SCOPE}
    token = tmp_path / "token"
    token.write_text("signed\n")
    found = Credential(env={"AZURE_CLIENT_ID": "app", "AZURE_TENANT_ID": "u", "AZURE_FEDERATED_TOKEN_FILE": str(token)}, endpoints=endpoints)
    assert isinstance(found.source, ServicePrincipalCredential)
    found.get_token(SCOPE)
    path, _, _, body = endpoint.asked[1]
    assert path == "/u/oauth2/v2.0/token" and parse_qs(body)["client_assertion"] == ["signed"]


def test_any_credential_will_do() -> None:
    class Other:
        def get_token(self, *scopes: str, **_: object) -> AccessToken:
            return AccessToken("of " + scopes[0], int(time.time()) + 600)

    assert Credential(Other()).get_token(SCOPE).token == "of " + SCOPE


def test_command_line(tmp_path: Path) -> None:
    program = tmp_path / "alvara"
    program.write_text('#!/bin/sh\necho "$@" > "$0.asked"\necho \'{"accessToken": "cli", "expires_on": 4000000000}\'\n')
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    credential = Credential(env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert isinstance(credential.source, CommandLineCredential)
    assert credential.get_token(SCOPE) == AccessToken("cli", 4000000000)
    assert (tmp_path / "alvara.asked").read_text().split() == ["account", "get-access-token", "--resource", "https://management.azure.com", "-o", "json"]
    program.write_text("#!/bin/sh\necho 'ERROR: nobody is signed in' >&2\nexit 1\n")
    with pytest.raises(AlvaraError, match="nobody is signed in"):
        CommandLineCredential(str(program)).get_token(SCOPE)
    with pytest.raises(AlvaraError, match="ALVARA_BINARY"):
        CommandLineCredential(env={"PATH": "/nowhere"}).get_token(SCOPE)


def test_local_socket_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(AlvaraError, match="no server answers"):
        LocalCredential(tmp_path).get_token(SCOPE)
    assert isinstance(Credential(env={"ALVARA_DATA": str(tmp_path)}).source, LocalCredential)
