"""A server of the tests' own, and how it is reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest

from alvara import Endpoints, LocalCredential
from alvara.wire import Client


@dataclass
class Server:
    """A running server: its program, its data folder and where its planes are."""

    binary: str
    data: Path
    endpoints: Endpoints

    def client(self) -> Client:
        """A caller who is the local administrator."""
        return Client(self.endpoints, LocalCredential(self.data))

    def environment(self) -> dict[str, str]:
        """The environment of a program that is led to this server, and nowhere else."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE_", "AZUREML_", "ALVARA_", "IDENTITY_", "MSI_"))}
        text = subprocess.run([self.binary, "env", "--data", str(self.data)], check=True, capture_output=True, text=True).stdout
        pairs = (line.removeprefix("export ").split("=", 1) for line in text.splitlines())
        return {**kept, **{name: value.strip("'\"") for name, value in pairs}, "ALVARA_CONFIG_DIR": str(self.data / "config")}


def serve(binary: str, *arguments: str) -> Iterator[Server]:
    """Runs a server on a new folder, whose name is short because there is a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix="alvara-py-"))
    log = (folder / "serve.log").open("w+")
    process = subprocess.Popen([binary, "serve", "--data", str(folder / "data"), *arguments], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # its URL, once every plane answers
        if not line.startswith("https://"):
            log.seek(0)
            pytest.fail(f"the server does not start: {line}{log.read()}")
        yield Server(binary, folder / "data", Endpoints.from_data(folder / "data"))
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
