"""Features of a feature store: joined to observations as they were known at each observation's time, and the newest values by key.

Both return pandas; install ``alvara-ml[pandas]``. The server computes with the caller's rights.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence, Union

from .credential import TokenCredential
from .endpoints import Endpoints
from .errors import AlvaraError
from .wire import Client, segment

if TYPE_CHECKING:
    import pandas
    import pyarrow

    Table = Union[pandas.DataFrame, pyarrow.Table, str, os.PathLike[str]]

_PARQUET, _CSV = "application/vnd.apache.parquet", "text/csv"


class FeatureStore:
    """A feature store that is there. ``subscription_id`` may be left out where the environment or the sign-in has one."""

    def __init__(
        self, name: str, resource_group: str, subscription_id: str | None = None, credential: TokenCredential | None = None,
        *, endpoints: Endpoints | None = None, client: Client | None = None,
    ) -> None:
        self.client = client or Client(endpoints, credential)
        subscription = subscription_id or self.client.endpoints.subscription
        if not subscription:
            raise AlvaraError("InvalidArgument", "subscription_id was expected, since neither the environment nor the sign-in has one")
        self.name = name
        self.id = f"/subscriptions/{subscription}/resourceGroups/{segment(resource_group)}/providers/Microsoft.MachineLearningServices/workspaces/{segment(name)}"

    @classmethod
    def from_id(cls, id: str, credential: TokenCredential | None = None, *, endpoints: Endpoints | None = None, client: Client | None = None) -> "FeatureStore":
        """The feature store with a resource id."""
        parts = id.strip("/").split("/")
        if len(parts) != 8:
            raise AlvaraError("InvalidArgument", f"{id!r} is no id of a feature store: /subscriptions/…/workspaces/NAME was expected")
        return cls(parts[7], parts[3], parts[1], credential, endpoints=endpoints, client=client)

    def get_offline_features(self, features: "Iterable[Any] | str", observation_data: "Table", timestamp_column: str, *, timestamp_format: str | None = None) -> "pandas.DataFrame":
        """See the function of this name."""
        content, media = _observations(observation_data)
        query: dict[str, Any] = {"features": _references(features), "timestampColumn": timestamp_column, "format": "arrow"}
        if timestamp_format:
            query["timestampFormat"] = timestamp_format
        with content:
            answer = self.client.features(self.id + "/offline", query=query, data=content, headers={"Content-Type": media, "Accept": "*/*"}, timeout=3600)
        return _arrow().ipc.open_stream(answer.content).read_all().to_pandas()

    def get_online_features(self, features: "Iterable[Any] | str", observation_data: "Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Table") -> "pandas.DataFrame":
        """See the function of this name."""
        pandas = _pandas()
        keys = _keys(observation_data)
        answer = self.client.features(self.id + "/online", body={"features": _references(features), "keys": keys})
        # A column without any value keeps its place, and the keys come first as they were given.
        rows = answer.json()["rows"]
        columns = list(keys)
        columns += [name for name in (rows[0] if rows else {}) if name not in keys]
        return pandas.DataFrame(rows, columns=columns)


def get_offline_features(
    features: "Iterable[Any] | str", observation_data: "Table", timestamp_column: str, *, feature_store: "FeatureStore | str", credential: TokenCredential | None = None,
    timestamp_format: str | None = None,
) -> "pandas.DataFrame":
    """Joins features to observations as they were known at each observation's time.

    ``features`` are references: ``transactions:1`` for a whole feature set, ``accounts:1:accountAge`` for one feature, ``a=transactions:1`` to put
    ``a_`` before the columns' names. ``observation_data`` is a pandas DataFrame, a pyarrow Table, or the path of a parquet or CSV
    file; ``timestamp_column`` its column of times, in UTC where they have no zone. ``feature_store`` is a FeatureStore or its resource id.

    The result has the observations' rows in their order, their columns, and then the features in the order asked.
    """
    return _store(feature_store, credential).get_offline_features(features, observation_data, timestamp_column, timestamp_format=timestamp_format)


def get_online_features(
    features: "Iterable[Any] | str", observation_data: "Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]] | Table", *, feature_store: "FeatureStore | str",
    credential: TokenCredential | None = None,
) -> "pandas.DataFrame":
    """Looks the newest values of entities up.

    ``observation_data`` has the key columns: ``{"accountID": ["A1", "A2"]}``, ``[{"accountID": "A1"}, …]``, a pandas DataFrame, a pyarrow Table or the path of a
    file. The result has one row for each entity in the same order; features that are not there are null.
    """
    return _store(feature_store, credential).get_online_features(features, observation_data)


def _store(store: "FeatureStore | str", credential: TokenCredential | None) -> FeatureStore:
    return FeatureStore.from_id(store, credential) if isinstance(store, str) else store


def _references(features: "Iterable[Any] | str") -> list[str]:
    """References as text; objects may say theirs as ``name``, ``version`` and, for a single feature, ``feature_set_name``."""
    out = []
    for feature in [features] if isinstance(features, str) else features:
        if isinstance(feature, str):
            out.append(feature)
        elif hasattr(feature, "feature_set_name"):
            out.append(f"{feature.feature_set_name}:{feature.feature_set_version}:{feature.feature_name}")
        elif hasattr(feature, "name") and hasattr(feature, "version"):
            out.append(f"{feature.name}:{feature.version}")
        else:
            raise AlvaraError("InvalidArgument", f"{feature!r} is no feature: a reference such as transactions:1 or accounts:1:accountAge was expected", target="features")
    if not out:
        raise AlvaraError("FeaturesRequired", "features is empty; references such as transactions:1 were expected", target="features")
    return out


def _observations(data: "Table") -> tuple[io.BufferedIOBase | io.BytesIO, str]:
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        media = {".parquet": _PARQUET, ".csv": _CSV}.get(path.suffix.lower())
        if media is None:
            raise AlvaraError("InvalidArgument", f"the ending of {path.name} names no format; .parquet or .csv was expected", target="observation_data")
        return path.open("rb"), media
    arrow = _arrow()
    from pyarrow import parquet

    table = data if isinstance(data, arrow.Table) else arrow.Table.from_pandas(_frame(data), preserve_index=False)
    out = io.BytesIO()
    # Nanoseconds do not fit the store's microseconds.
    parquet.write_table(table, out, coerce_timestamps="us", allow_truncated_timestamps=True)
    out.seek(0)
    return out, _PARQUET


def _frame(data: Any) -> "pandas.DataFrame":
    pandas = _pandas()
    if isinstance(data, pandas.DataFrame):
        return data
    raise AlvaraError("InvalidArgument", f"a pandas DataFrame, a pyarrow Table or a path was expected, not {type(data).__name__}", target="observation_data")


def _keys(data: Any) -> dict[str, list[Any]]:
    """Key columns as lists of values that JSON can hold."""
    if isinstance(data, Mapping):
        columns = {str(name): list(values) for name, values in data.items()}
    elif isinstance(data, (str, os.PathLike)):
        path = Path(data)
        pandas = _pandas()
        frame = pandas.read_csv(path) if path.suffix.lower() == ".csv" else pandas.read_parquet(path)
        columns = {str(name): frame[name].tolist() for name in frame.columns}
    elif hasattr(data, "to_pydict"):
        columns = data.to_pydict()
    elif hasattr(data, "columns"):
        columns = {str(name): data[name].tolist() for name in data.columns}
    else:
        rows = list(data)
        names = list(rows[0]) if rows else []
        if any(set(row) != set(names) for row in rows):
            raise AlvaraError("InvalidArgument", "every entity must have the same key columns", target="observation_data")
        columns = {name: [row[name] for row in rows] for name in names}
    return {name: [_plain(value) for value in values] for name, values in columns.items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # of numpy
        value = value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise AlvaraError("MissingPackage", "pandas is not installed: pip install pandas pyarrow, or in a clone pip install './python[pandas]'") from None
    return pandas


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise AlvaraError("MissingPackage", "pyarrow is not installed: pip install pandas pyarrow, or in a clone pip install './python[pandas]'") from None
    return pyarrow
