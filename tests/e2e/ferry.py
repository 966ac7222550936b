"""One migration of a test: a source database, a target database of its own, and readers that are not the engine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import yaml

from gridferry.checkpoint.documents import DocumentStore
from gridferry.checkpoint.registry import Registry
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Listener, TableLoad, ignore
from gridferry.engine.migration import Migration
from gridferry.griddb import Container, Store, connect
from gridferry.model.verification import Verdict
from gridferry.plan.config import Config, parse_config

CATALOG, STATE, QUARANTINE = "gridferry_catalog", "gridferry_state", "gridferry_quarantine"
JOURNAL = "gridferry_journal"
OWN = (CATALOG, STATE, QUARANTINE, JOURNAL)


@dataclass(frozen=True)
class Server:
    """A GridDB protocol server. `embedded` says that it is the emulator."""

    address: str
    cluster: str = "myCluster"
    user: str = "admin"
    password: str = "admin"
    embedded: bool = True

    def url(self, database: str = "public") -> str:
        return f"griddb://{self.user}@{self.address}/{self.cluster}/{database}"


def named_server() -> Server:
    """The server that GRIDFERRY_TEST_GRIDDB=host:port/cluster names."""
    address, _, cluster = os.environ["GRIDFERRY_TEST_GRIDDB"].partition("/")
    user = os.environ.get("GRIDFERRY_TEST_GRIDDB_USER", "admin")
    return Server(address, cluster, user, os.environ.get("GRIDFERRY_TEST_GRIDDB_PASSWORD", "admin"), embedded=False)


@contextmanager
def database_of(server: Server, name: str) -> Iterator[Server]:
    """A target database of its own, dropped in the end with all that is in it."""
    with connect(server.url(), password=server.password) as store:
        store.create_database(name)
    try:
        yield server
    finally:
        with connect(server.url(name), password=server.password) as store:
            store.drop_containers(store.container_names())
            store.drop_database(name)


@dataclass(frozen=True)
class Ferry:
    """What a test needs to load tables and to look at both ends. `database` is the target's."""

    dsn: str
    server: Server
    database: str
    tables: tuple[dict[str, Any], ...] = ()
    name: str = ""  # of the migration, where the config gives it one
    more: dict[str, Any] = field(default_factory=dict)  # of the config file, beside the tables

    def of(self, *tables: dict[str, Any] | str) -> Ferry:
        """The same for these tables, written as in the config file."""
        return replace(self, tables=tuple({"table": t} if isinstance(t, str) else t for t in tables))

    @property
    def url(self) -> str:
        return self.server.url(self.database)

    @property
    def text(self) -> str:
        """The config file."""
        document: dict[str, Any] = {
            "source": "${SOURCE_DSN}",
            "target": self.url,
            "tables": list(self.tables),
            **self.more,
        }
        if self.name:
            document["name"] = self.name
        return yaml.safe_dump(document, allow_unicode=True)

    @property
    def env(self) -> dict[str, str]:
        """The variables that the config file needs."""
        return {"SOURCE_DSN": self.dsn, "GRIDDB_PASSWORD": self.server.password}

    @property
    def config(self) -> Config:
        return parse_config(self.text, env=self.env)

    @contextmanager
    def migration(self, listener: Listener = ignore) -> Iterator[Migration]:
        with Migration(self.config, listener=listener) as migration:
            yield migration

    def load(self, *, listener: Listener = ignore, **options: Any) -> list[TableLoad]:
        with self.migration(listener) as migration:
            return migration.loads.load(**options)

    def equal(self) -> bool:
        """Whether the engine's own comparison says that all is equal, but for rows in the quarantine."""
        with self.migration() as migration:
            report = migration.verifications.verify()
        held = sum(table.quarantined for table in report.tables)
        return report.verdict is (Verdict.INCOMPLETE if held else Verdict.EQUAL)

    @contextmanager
    def store(self) -> Iterator[Store]:
        with connect(self.url, password=self.server.password) as store:
            yield store

    def names(self) -> list[str]:
        """The containers that are not gridferry's own."""
        with self.store() as store:
            return [name for name in store.container_names() if name not in OWN]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a container as plain Python: times as integers in the container's unit."""
        with self.store() as store:
            container = store.open_container(name)
            assert container is not None, f"there is no container {name}"
            return plain_rows(container)

    def everything(self) -> dict[str, list[dict[str, Any]]]:
        """All rows of all containers, gridferry's own too."""
        with self.store() as store:
            opened = store.open_containers(store.container_names())
            return {name: plain_rows(container) for name, container in opened.items() if container is not None}

    def catalog(self, table: str) -> dict[str | None, str]:
        """Container by split value, as gridferry's catalog has it."""
        with self.store() as store:
            if store.open_container(CATALOG) is None:
                return {}
        return {r["value"]: r["container"] for r in self.rows(CATALOG) if r["source_table"] == table}


def kept_in(store: Store) -> TargetState:
    """What gridferry keeps in a target that holds one migration."""
    registry = Registry(DocumentStore(store))
    return TargetState(store, lambda: registry.all()[0])


def plain_rows(container: Container) -> list[dict[str, Any]]:
    rows = []
    for batch in container.scan().batches():
        columns = [_numbers(c) for c in batch.columns]
        rows += pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()
    return rows


def _numbers(array: pa.Array) -> pa.Array:
    """Times as the integers that they are, in arrays too."""
    if pa.types.is_list(array.type) and pa.types.is_timestamp(array.type.value_type):
        return array.cast(pa.list_(pa.int64()))
    return array.view(pa.int64()) if pa.types.is_timestamp(array.type) else array
