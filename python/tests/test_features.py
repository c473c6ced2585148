"""Features as pandas, joined to observations and looked up by key, with the server's decisions (FS-11, FS-12)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from alvara import AlvaraError, Credential, FeatureStore, ServicePrincipalCredential, get_offline_features, get_online_features

from running import Server

pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install 'alvara-ml[pandas]'")
pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'alvara-ml[pandas]'")

SPECIFICATION = """
source:
  type: csv
  path: azureml://datastores/offlinestore/paths/source/*.csv
  timestamp_column: {name: timestamp}
features:
  - {name: amount_3d_sum, type: double}
  - {name: amount_3d_count, type: long}
index_columns:
  - {name: accountID, type: string}
feature_transformation:
  transformation_expression:
    - {feature: amount_3d_sum, aggregation: sum, column: amount, window: {length: 3, unit: days}}
    - {feature: amount_3d_count, aggregation: count, column: amount, window: {length: 3, unit: days}}
"""

FILES = {
    "account.yaml": "name: account\nversion: '1'\nindex_columns:\n  - {name: accountID, type: string}\n",
    "set.yaml": "name: transactions\nversion: '1'\nentities: ['azureml:account:1']\nspecification: {path: ./transactions}\n"
    "materialization_settings: {offline_enabled: true, online_enabled: true}\n",
    "transactions/FeatureSetSpec.yaml": SPECIFICATION,
    "source/day.csv": "accountID,timestamp,amount\nA1,2023-01-01T00:00:00Z,10\nA1,2023-01-02T00:00:00Z,5\nA2,2023-01-03T00:00:00Z,7.5\n",
}

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def alvara(server: Server) -> Command:
    """Runs commands of the program as the local administrator."""

    def run(*arguments: str) -> Any:
        done = subprocess.run([server.binary, *arguments, "-o", "json"], env=server.environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    run("login", "--local", "--data", str(server.data))
    return run


@pytest.fixture(scope="module")
def store(server: Server, alvara: Command, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A feature store with one materialized feature set."""
    folder = tmp_path_factory.mktemp("features")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    alvara("group", "create", "-n", "fs", "-l", "westeurope")
    made = alvara("ml", "feature-store", "create", "-n", "fs", "-g", "fs")
    container = made["offline_store"]["target"].split("/")
    account, name = container[container.index("storageAccounts") + 1], container[-1]
    alvara("role", "assignment", "create", "--assignee", "admin@alvara.local", "--role", "Storage Blob Data Contributor", "-g", "fs")
    alvara("storage", "blob", "upload-batch", "--account-name", account, "-d", f"{name}/source", "-s", str(folder / "source"), "--auth-mode", "login")
    at = ("--feature-store", "fs", "-g", "fs")
    alvara("ml", "feature-store-entity", "create", "-f", str(folder / "account.yaml"), *at)
    alvara("ml", "feature-set", "create", "-f", str(folder / "set.yaml"), *at)
    window = ("--feature-window-start-time", "2023-01-01", "--feature-window-end-time", "2023-01-10")
    alvara("ml", "feature-set", "backfill", "-n", "transactions", "-v", "1", *window, *at, "--wait")
    return FeatureStore("fs", "fs", client=server.client())


def observations() -> Any:
    times = pandas.to_datetime(["2023-01-02T12:00:00Z", "2023-01-01T12:00:00Z", "2023-01-03T00:00:00Z", "2023-01-02T00:00:00Z"], utc=True)
    return pandas.DataFrame({"accountID": ["A1", "A1", "A2", "A3"], "timestamp": times, "label": [1, 0, 1, 0]}, index=[7, 8, 9, 10])


def check(frame: Any) -> None:
    assert list(frame.columns) == ["accountID", "timestamp", "label", "amount_3d_sum", "amount_3d_count"]
    assert frame["label"].tolist() == [1, 0, 1, 0]
    assert frame["amount_3d_sum"].tolist()[:3] == [15.0, 10.0, 7.5]
    assert pandas.isna(frame["amount_3d_sum"].iloc[3])


def test_offline_as_it_was_known(store: FeatureStore, tmp_path: Path) -> None:
    frame = observations()
    check(store.get_offline_features(["transactions:1"], frame, "timestamp"))
    check(get_offline_features("transactions:1", pyarrow.Table.from_pandas(frame, preserve_index=False), "timestamp", feature_store=store))
    frame.to_parquet(tmp_path / "observations.parquet", index=False)
    check(store.get_offline_features(["transactions:1"], tmp_path / "observations.parquet", "timestamp"))
    frame.to_csv(tmp_path / "observations.csv", index=False)
    check(store.get_offline_features(["transactions:1"], str(tmp_path / "observations.csv"), "timestamp"))
    one = store.get_offline_features(["mine=transactions:1:amount_3d_count"], frame, "timestamp")
    assert one["mine_amount_3d_count"].tolist()[:3] == [2, 1, 1]


def test_online(store: FeatureStore, tmp_path: Path) -> None:
    keys = ["A2", "A1", "nobody"]
    pandas.DataFrame({"accountID": keys}).to_csv(tmp_path / "keys.csv", index=False)
    for given in ({"accountID": keys}, [{"accountID": k} for k in keys], pandas.DataFrame({"accountID": keys}), pyarrow.table({"accountID": keys}), tmp_path / "keys.csv"):
        frame = get_online_features(["transactions:1"], given, feature_store=store)
        assert list(frame.columns) == ["accountID", "amount_3d_sum", "amount_3d_count"]
        assert frame["accountID"].tolist() == keys
        assert frame["amount_3d_sum"].tolist()[:2] == [7.5, 15.0] and pandas.isna(frame["amount_3d_sum"].iloc[2])


def test_faults_are_named(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(AlvaraError) as unknown:
        store.get_offline_features(["nothing:1"], observations(), "timestamp")
    assert "nothing" in str(unknown.value) and unknown.value.status >= 400
    with pytest.raises(AlvaraError, match="keys"):
        store.get_online_features(["transactions:1"], {"other": ["A1"]})
    with pytest.raises(AlvaraError, match="no format"):
        store.get_offline_features(["transactions:1"], tmp_path / "observations.xlsx", "timestamp")
    with pytest.raises(AlvaraError, match="not list"):
        store.get_offline_features(["transactions:1"], [1, 2], "timestamp")
    with pytest.raises(AlvaraError, match="no id of a feature store"):
        get_online_features(["transactions:1"], {"accountID": ["A1"]}, feature_store="/subscriptions/x")


def test_who_may_read(server: Server, store: FeatureStore, alvara: Command) -> None:
    """FS-05: values take a role; what is missing is named with what cures it, and is in force at once."""
    app = alvara("ad", "sp", "create-for-rbac", "-n", "reader")
    sp = ServicePrincipalCredential(app["tenant"], app["appId"], app["password"], endpoints=server.endpoints)
    theirs = FeatureStore.from_id(store.id, sp, endpoints=server.endpoints)
    with pytest.raises(AlvaraError) as refused:
        theirs.get_online_features(["transactions:1"], {"accountID": ["A1"]})
    assert refused.value.status == 403 and "AuthorizationFailed" in refused.value.code
    for role in ("AzureML Data Scientist", "Storage Blob Data Reader"):
        alvara("role", "assignment", "create", "--assignee", app["appId"], "--role", role, "-g", "fs")
    assert theirs.get_online_features(["transactions:1"], {"accountID": ["A1"]})["amount_3d_sum"].tolist() == [15.0]
    check(theirs.get_offline_features(["transactions:1"], observations(), "timestamp"))


def test_the_environment_of_a_shell_is_enough(server: Server, store: FeatureStore, alvara: Command) -> None:
    """What `alvara env` prints, and whoever is signed in on the command line; certificates are checked by it."""
    program = f"""
import alvara, sys
frame = alvara.get_online_features("transactions:1", {{"accountID": ["A1"]}}, feature_store={store.id!r})
print(frame["amount_3d_count"].tolist())
"""
    env = {**server.environment(), "ALVARA_BINARY": server.binary}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "[2]", done.stderr
    signed_in = {k: v for k, v in env.items() if not k.startswith(("ALVARA_ENDPOINT", "AZURE_", "SSL_", "REQUESTS_"))}
    done = subprocess.run([sys.executable, "-c", program], env=signed_in, capture_output=True, text=True)
    assert done.stdout.strip() == "[2]", done.stderr
    distrusting = {**env, "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    done = subprocess.run([sys.executable, "-c", program], env=distrusting, capture_output=True, text=True)
    assert done.returncode != 0 and ("CertificateNotTrusted" in done.stderr or "ca-certificates" in done.stderr)


def test_credentials_find_each_other(server: Server) -> None:
    found = Credential(env={"ALVARA_DATA": str(server.data)}, endpoints=server.endpoints)
    assert found.get_token("https://storage.azure.com/.default").token
