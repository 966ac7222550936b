"""The hook against a GridDB server: the Test button, queries to Arrow and pandas, puts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from airflow.sdk import Connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.airflow.conftest import connections
from tests.e2e.ferry import Ferry
from tests.profiles import PROFILE, share
from tests.unit.cli.test_secrets import PASSWORD, told

from gridferry.airflow import GridDBHook
from gridferry.airflow.compat import AirflowFailException
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType

SECRET = "wrong-Secret"
READINGS = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False), ColumnSpec("temp", GridType.DOUBLE)),
)


def times(*seconds: int) -> list[datetime]:
    return [datetime.fromtimestamp(second, timezone.utc) for second in seconds]


@pytest.fixture
def hook(ferry: Ferry) -> GridDBHook:
    with ferry.store() as store:
        store.create_container("readings", READINGS)
    return GridDBHook()


def changed(ferry: Ferry, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> GridDBHook:
    document = {**connections(ferry)["AIRFLOW_CONN_GRIDDB_DEFAULT"], **fields}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(document))
    return GridDBHook("other")


def test_the_button_logs_in(hook: GridDBHook, ferry: Ferry) -> None:
    ok, said = hook.test_connection()
    assert ok, said
    assert f"database {ferry.database}" in said
    assert "partitions" in said


def test_airflow_finds_the_hook_by_the_connections_type(hook: GridDBHook) -> None:
    document = os.environ["AIRFLOW_CONN_GRIDDB_DEFAULT"]
    ok, said = Connection.from_json(document, "griddb_default").test_connection()
    assert ok, said


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"password": SECRET}, "refused"),
        ({"schema": "another"}, "another"),
        ({"port": 1}, "127.0.0.1:1"),
        ({"extra": {"database": "not_there"}}, "not_there"),
        ({"schema": ""}, "names no cluster"),
    ],
)
def test_the_button_says_in_one_line_what_is_wrong(
    ferry: Ferry, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], what: str
) -> None:
    ok, said = changed(ferry, monkeypatch, **fields).test_connection()
    assert not ok
    assert what in said
    assert "\n" not in said
    assert SECRET not in said


# Where a person may have put a password by mistake, beside its own field.
# Hosts, groups and choices of a word are not here: they are said, as the places and words that they are.
PLACES: tuple[Callable[[str], dict[str, Any]], ...] = (
    lambda p: {"password": p},
    lambda p: {"host": f"griddb://ann:{p}@127.0.0.1"},
    lambda p: {"extra": {"ca_file": p}},
    lambda p: {"extra": {"provider": f"http://ann:{p}@127.0.0.1:1/nodes"}},
    lambda p: {"extra": {"members": f"ann:{p}@127.0.0.1:1"}},
    lambda p: {"extra": p},
)


@settings(max_examples=share(80, PROFILE), suppress_health_check=list(HealthCheck))
@given(password=PASSWORD, place=st.sampled_from(PLACES))
def test_the_button_says_no_piece_of_a_password(
    ferry: Ferry, monkeypatch: pytest.MonkeyPatch, password: str, place: Callable[[str], dict[str, Any]]
) -> None:
    ok, said = changed(ferry, monkeypatch, **place(password)).test_connection()
    assert not ok or place is not PLACES[0], said
    assert "\n" not in said
    assert not told(said, password, f"{ferry.url} https://127.0.0.1"), said


def test_rows_go_in_and_come_out(hook: GridDBHook) -> None:
    with hook:
        assert hook.put("readings", pa.table({"temp": [1.5, 2.5], "ts": times(1, 2)})) == 2
        assert hook.put("readings", pd.DataFrame({"ts": pd.to_datetime(times(3)), "temp": [30]})) == 1
        found = hook.query("readings", "select * where temp > 2")
        assert found.column("temp").to_pylist() == [2.5, 30.0]
        assert hook.query("readings", "select COUNT(*)").to_pylist() == [{"value": 3}]
        assert list(hook.get_df("readings", limit=2)["temp"]) == [1.5, 2.5]


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda hook: hook.query("nowhere"), "no container nowhere"),
        (lambda hook: hook.query("readings", "selec *"), "readings"),
        (lambda hook: hook.put("readings", pa.table({"temp": [1.0]})), "no column ts"),
        (lambda hook: hook.put("readings", pa.table({"ts": ["x"], "temp": [1.0]})), "do not fit"),
    ],
)
def test_what_is_asked_wrongly_is_one_clear_line(hook: GridDBHook, call: Any, what: str) -> None:
    with hook, pytest.raises(AirflowFailException, match=what) as caught:
        call(hook)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
