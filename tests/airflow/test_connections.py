"""Airflow's connections, in URI and JSON form, as addresses of both sides; no error tells a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection
from psycopg.conninfo import conninfo_to_dict

from gridferry.airflow.connections import griddb_address, postgres_address
from gridferry.errors import ConfigError
from gridferry.griddb.address import SslMode

SECRET = "p@ss/w:rd?#&%"


def connection(**fields: Any) -> Connection:
    extra = fields.pop("extra", None)
    return Connection(conn_id="c", extra=json.dumps(extra) if isinstance(extra, dict) else extra, **fields)


def griddb(**fields: Any) -> Connection:
    base = {"conn_type": "griddb", "host": "h", "port": 10001, "login": "admin", "password": SECRET, "schema": "C"}
    return connection(**{**base, **fields})


def test_gridferrys_own_address_is_a_connection_uri_as_it_stands() -> None:
    found = griddb_address(Connection.from_uri("griddb://admin:p%40ss@h.example:10001/C/db?sslmode=verify", "c"))
    assert (found.members, found.cluster, found.database) == ((("h.example", 10001),), "C", "db")
    assert (found.user, found.password, found.sslmode) == ("admin", "p@ss", SslMode.VERIFY)


def test_the_json_form() -> None:
    document = {
        "conn_type": "griddb",
        "login": "me",
        "password": SECRET,
        "schema": "C",
        "extra": {"members": "a:1,[::1]:2", "database": "db", "sslmode": "require", "ca_file": None},
    }
    found = griddb_address(Connection.from_json(json.dumps(document), "c"))
    assert found.members == (("a", 1), ("::1", 2))
    assert (found.user, found.password, found.database, found.sslmode) == ("me", SECRET, "db", SslMode.REQUIRE)


@pytest.mark.parametrize(
    ("fields", "members"),
    [
        ({}, (("h", 10001),)),
        ({"port": None}, (("h", 10001),)),
        ({"host": "a:1,b:2"}, (("a", 1), ("b", 2))),
        ({"host": "::1"}, (("::1", 10001),)),
    ],
)
def test_hosts(fields: dict[str, Any], members: tuple[tuple[str, int], ...]) -> None:
    assert griddb_address(griddb(**fields)).members == members


def test_provider_and_multicast_stand_for_the_host() -> None:
    url = "http://u:p@list.example/nodes?a=b&c=d"
    assert griddb_address(griddb(extra={"provider": url})).provider == url
    assert griddb_address(griddb(extra={"multicast": "239.0.0.1:31999"})).multicast == ("239.0.0.1", 31999)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"conn_type": "mysql"}, "of type mysql, not griddb"),
        ({"schema": None}, "names no cluster"),
        ({"password": None}, "has no password"),
        ({"host": None}, "names no node"),
        ({"host": "no host"}, "not host:port"),
        ({"extra": {"sslmode": "maybe"}}, "sslmode"),
        ({"extra": {"multicast": "x:y"}}, "multicast"),
        ({"extra": "no json"}, "extra is not a JSON"),
    ],
)
def test_a_griddb_connection_that_cannot_be_used(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what) as caught:
        griddb_address(griddb(**fields))
    assert "connection c cannot be used" in caught.value.message
    assert caught.value.next_step
    assert SECRET not in str(caught.value.__dict__)


def test_a_postgres_connection_with_what_libpq_knows_of_its_extra() -> None:
    found = postgres_address(
        connection(
            conn_type="postgres",
            host="h",
            port=5433,
            login="me",
            password=SECRET,
            schema="db",
            extra={"sslmode": "require", "cursor": "dictcursor", "application_name": "x", "sslrootcert": ""},
        )
    )
    expected = {
        "host": "h",
        "port": "5433",
        "user": "me",
        "password": SECRET,
        "dbname": "db",
        "sslmode": "require",
        "application_name": "x",
    }
    assert conninfo_to_dict(found.dsn) == expected
    assert SECRET not in repr(found)


def test_a_postgres_uri() -> None:
    found = postgres_address(Connection.from_uri("postgresql://me:s%2F@h:5432/db?sslmode=prefer", "c"))
    assert conninfo_to_dict(found.dsn)["password"] == "s/"


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"conn_type": "griddb"}, "of type griddb, not postgres"),
        ({"extra": {"iam": True}}, "asks for iam"),
    ],
)
def test_a_postgres_connection_that_cannot_be_used(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        postgres_address(connection(**{"conn_type": "postgres", "host": "h", "password": SECRET, **fields}))
