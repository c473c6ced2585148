"""Where the server is, from the environment, the sign-in and the data folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alvara import AlvaraError, Endpoints

DOCUMENT = {
    "resourceManager": "https://127.0.0.1:1/", "authority": "https://127.0.0.1:1", "tenant": "t", "subscription": "s", "blob": "https://127.0.0.1:2",
    "features": "https://127.0.0.1:1/features", "caFile": "tls/bundle.pem",
}


def test_from_data(tmp_path: Path) -> None:
    (tmp_path / "endpoints.json").write_text(json.dumps(DOCUMENT))
    found = Endpoints.from_data(tmp_path)
    assert (found.resource_manager, found.tenant, found.ca_file) == ("https://127.0.0.1:1", "t", str(tmp_path / "tls/bundle.pem"))
    assert found.verify == found.ca_file
    with pytest.raises(AlvaraError, match="alvara serve --data"):
        Endpoints.from_data(tmp_path / "nothing")


def test_from_environment() -> None:
    env = {"ALVARA_ENDPOINT": "https://a:1/", "AZURE_AUTHORITY_HOST": "https://l:1/", "AZURE_TENANT_ID": "t", "SSL_CERT_FILE": "/ca.pem"}
    found = Endpoints.from_environment(env)
    assert (found.resource_manager, found.authority, found.features, found.ca_file) == ("https://a:1", "https://l:1", "https://a:1/features", "/ca.pem")
    inside = Endpoints.from_environment({"ALVARA_RESOURCE_MANAGER": "https://b:1", "AZUREML_ARM_SUBSCRIPTION": "s1", "REQUESTS_CA_BUNDLE": "/alvara/ca.pem"})
    assert (inside.resource_manager, inside.authority, inside.subscription, inside.ca_file) == ("https://b:1", "https://b:1", "s1", "/alvara/ca.pem")
    assert Endpoints.from_environment({"ALVARA_ENDPOINT": "https://a:1"}).verify is True


def test_from_the_sign_in(tmp_path: Path) -> None:
    sessions = {"one": {"endpoints": {**DOCUMENT, "caFile": "/own.pem"}}, "two": {"endpoints": {**DOCUMENT, "resourceManager": "https://two:1"}}}
    accounts = [{"session": "one", "isDefault": False}, {"session": "two", "isDefault": True}]
    (tmp_path / "profile.json").write_text(json.dumps({"accounts": accounts, "sessions": sessions}))
    assert Endpoints.from_environment({"ALVARA_CONFIG_DIR": str(tmp_path)}).resource_manager == "https://two:1"
    accounts[0]["isDefault"], accounts[1]["isDefault"] = True, False
    (tmp_path / "profile.json").write_text(json.dumps({"accounts": accounts, "sessions": sessions}))
    # SSL_CERT_FILE is often set for other servers' sake.
    found = Endpoints.from_environment({"ALVARA_CONFIG_DIR": str(tmp_path), "SSL_CERT_FILE": "/other.pem", "AZURE_SUBSCRIPTION_ID": "mine"})
    assert (found.ca_file, found.subscription) == ("/own.pem", "mine")


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(AlvaraError, match="alvara login"):
        Endpoints.from_environment({"ALVARA_CONFIG_DIR": str(tmp_path)})
