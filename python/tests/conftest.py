"""What the tests share: a server of their own, and somebody who is signed in to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from alvara.wire import Client
from running import Server, serve

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The server's program: the one that ALVARA_BINARY names, or one that is built."""
    given = os.environ.get("ALVARA_BINARY")
    if given:
        return given
    if shutil.which("go") is None:
        pytest.skip("there is neither ALVARA_BINARY nor go to build the server with")
    target = tmp_path_factory.mktemp("bin") / "alvara"
    subprocess.run(["go", "build", "-o", str(target), "./cmd/alvara"], cwd=REPOSITORY, check=True)
    return str(target)


@pytest.fixture(scope="session")
def server(binary: str) -> Iterator[Server]:
    yield from serve(binary)


@pytest.fixture(scope="session")
def client(server: Server) -> Client:
    return server.client()


@pytest.fixture(scope="session")
def group(client: Client) -> str:
    """The name of a resource group."""
    path = f"/subscriptions/{client.endpoints.subscription}/resourceGroups/py"
    client.arm("PUT", path, {"location": "westeurope"}, api_version="2021-04-01")
    return "py"
