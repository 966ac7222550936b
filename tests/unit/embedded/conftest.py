"""A store in memory, and batches for two shapes of containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from gridferry.embedded.catalog import Container
from gridferry.embedded.containers import put_container
from gridferry.embedded.database import Database
from gridferry.embedded.queries import Analysis, plan, run
from gridferry.embedded.results import Rows
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

SERIES = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("v", GridType.DOUBLE),
        ColumnSpec("s", GridType.STRING),
    ),
)
KEYED = ContainerSchema(
    ContainerKind.COLLECTION,
    (
        ColumnSpec("k", GridType.STRING, nullable=False),
        ColumnSpec("n", GridType.INTEGER, nullable=False),
        ColumnSpec("v", GridType.LONG),
    ),
    2,
)
KEYLESS = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("v", GridType.LONG),), 0)


@pytest.fixture
def db() -> Iterator[Database]:
    database = Database(flush_interval_s=None, lock_timeout_s=0.0)
    yield database
    database.kill()


@pytest.fixture
def schemas() -> dict[str, ContainerSchema]:
    return {"series": SERIES, "keyed": KEYED, "keyless": KEYLESS}


@pytest.fixture
def series(db: Database) -> Container:
    return put_container(db, "Series", SERIES, partition=1)


@pytest.fixture
def keyed(db: Database) -> Container:
    return put_container(db, "Keyed", KEYED, partition=2)


@pytest.fixture
def keyless(db: Database) -> Container:
    return put_container(db, "Keyless", KEYLESS, partition=3)


@pytest.fixture
def batch() -> Callable[..., pa.RecordBatch]:
    def make(schema: ContainerSchema, *rows: tuple[Any, ...]) -> pa.RecordBatch:
        columns = list(zip(*rows, strict=True)) if rows else [() for _ in schema.columns]
        arrays = [
            pa.array(values, pa.int64()).cast(field.type)
            if pa.types.is_timestamp(field.type)
            else pa.array(values, field.type)
            for values, field in zip(columns, schema.arrow_schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema.arrow_schema)

    return make


@pytest.fixture
def keys(batch: Callable[..., pa.RecordBatch]) -> Callable[..., pa.RecordBatch]:
    def make(schema: ContainerSchema, *wanted: tuple[Any, ...]) -> pa.RecordBatch:
        return batch(schema.key_schema, *wanted)

    return make


def tuples(rows: Rows) -> list[tuple[Any, ...]]:
    """Rows as tuples; times as milliseconds and the like."""
    columns = [
        c.cast(pa.int64()).to_pylist() if pa.types.is_timestamp(c.type) else c.to_pylist() for c in rows.batch.columns
    ]
    return list(zip(*columns, strict=True))


@pytest.fixture
def ask(db: Database) -> Callable[..., Any]:
    """What a TQL query answers: rows as tuples, or (type, value)."""

    def query(container: Container, text: str, **options: Any) -> Any:
        found = run(options.pop("db", db), container, plan(container, text), **options)
        if isinstance(found, Rows):
            return tuples(found)
        assert not isinstance(found, Analysis)
        return found.type, found.value

    return query


@pytest.fixture
def as_tuples() -> Callable[[Rows], list[tuple[Any, ...]]]:
    return tuples
