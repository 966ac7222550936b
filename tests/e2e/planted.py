"""Differences planted in containers, found again by plain comparison of every row, not by the engine's verification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from tests.e2e.ferry import Ferry

from gridferry.engine.migration import Migration
from gridferry.engine.repair.table import RepairSettings
from gridferry.engine.repair.tables import RepairOfTables
from gridferry.griddb import Container, ContainerSchema, Store
from gridferry.model.chunk import Chunk, ChunkKind
from gridferry.model.repair import TableRepair
from gridferry.model.verification import DifferenceKind, DifferenceSink, DifferentRows, VerifyReport
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_options import TableOptions
from gridferry.transform.compiled import compile_columns
from gridferry.transform.split import split_batch

Row = tuple[Any, ...]
Images = dict[str, dict[Row, Row]]  # rows of each container by their key, each to the last bit


def exact(batch: pa.RecordBatch) -> list[Row]:
    """Each row as numbers, texts and bytes that are equal only where all bits are."""
    columns = []
    for column in batch.columns:
        kind = column.type
        if pa.types.is_floating(kind) or pa.types.is_timestamp(kind):
            column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
        values = column.to_pylist()
        columns.append([repr(v) for v in values] if pa.types.is_list(kind) else values)
    return list(zip(*columns, strict=True))


def container_of(store: Store, name: str) -> Container:
    container = store.open_container(name)
    assert container is not None, name
    return container


def stored_batch(container: Container) -> pa.RecordBatch:
    table = pa.Table.from_batches(list(container.scan().batches()), schema=container.schema.arrow_schema)
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=container.schema.arrow_schema)


def keyed(batch: pa.RecordBatch, key_length: int) -> dict[Row, int]:
    """The place of each row by its key."""
    return {row[:key_length]: place for place, row in enumerate(exact(batch))}


def images(ferry: Ferry) -> Images:
    """Every row of every container that is not gridferry's own, to the last bit."""
    found: Images = {}
    with ferry.store() as store:
        for name in ferry.names():
            container = container_of(store, name)
            found[name] = {row[: container.schema.key_length]: row for row in exact(stored_batch(container))}
    return found


def with_value(row: pa.RecordBatch, place: int, value: Any) -> pa.RecordBatch:
    kind = row.schema.field(place).type
    stored = pa.array([value], pa.int64()).view(kind) if pa.types.is_timestamp(kind) else pa.array([value], kind)
    columns = [stored if i == place else column for i, column in enumerate(row.columns)]
    return pa.RecordBatch.from_arrays(columns, schema=row.schema)


def value_of(row: pa.RecordBatch, place: int) -> Any:
    column = row.column(place)
    return (column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column)[0].as_py()


class PlainComparison:
    """A comparison of one table that holds all rows in memory and compares them one by one."""

    def __init__(self, migration: Migration, table: str) -> None:
        self._migration = migration
        self._table = table

    def run(
        self, tables: Sequence[TableOptions], *, output: Path | None = None, sink: DifferenceSink | None = None
    ) -> VerifyReport:
        """Find the differences of the table."""
        assert sink is not None
        migration, table = self._migration, self._table
        run = migration.endpoints.state.runs.get(table)
        assert run is not None
        assert run.plan is not None
        expected = expected_rows(migration, run.plan)
        catalog = {e.value: e.container for e in migration.endpoints.state.catalog.entries(table)}
        for value in {**catalog, **expected}:
            name = catalog.get(value) or f"{run.plan.table}_{value}"
            container = migration.endpoints.store.open_container(name)
            schema = run.plan.container_schema
            stands = empty(schema) if container is None else stored_batch(container)
            _report(sink, (table, name, value), expected.get(value, empty(schema)), stands, run.plan.key_length)
        return VerifyReport((), "", 0.0)


def empty(schema: ContainerSchema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema.arrow_schema)


def expected_rows(migration: Migration, plan: TablePlan) -> dict[str | None, pa.RecordBatch]:
    found: dict[str | None, list[pa.RecordBatch]] = {}
    with migration.endpoints.source.open_snapshot() as view, view.open_reader() as reader:
        for batch in reader.read_chunk(Chunk(0, ChunkKind.WHOLE, plan.schema, plan.table, tree=True), plan):
            converted = compile_columns(plan).transform(batch)
            good = batch if converted.rows is None else batch.take(pa.array(converted.rows))
            by = None if plan.split_by is None else good.column(good.schema.get_field_index(plan.split_by))
            split = split_batch(converted.batch, by)
            for number, value in enumerate(split.values):
                found.setdefault(value, []).append(split.part(number))
    return {value: pa.concat_batches(batches) for value, batches in found.items()}


def _report(
    sink: DifferenceSink,
    place: tuple[str, str, str | None],
    expected: pa.RecordBatch,
    stands: pa.RecordBatch,
    key_length: int,
) -> None:
    left, right = keyed(expected, key_length), keyed(stands, key_length)
    rows, others = exact(expected), exact(stands)
    missing = [at for key, at in left.items() if key not in right]
    extra = [at for key, at in right.items() if key not in left]
    both = [(at, right[key]) for key, at in left.items() if key in right and rows[at] != others[right[key]]]
    if missing:
        sink(DifferentRows(*place, DifferenceKind.MISSING, source=expected.take(pa.array(missing))))
    if extra:
        sink(DifferentRows(*place, DifferenceKind.EXTRA, target=stands.take(pa.array(extra))))
    if both:
        source = expected.take(pa.array([mine for mine, _ in both]))
        target = stands.take(pa.array([theirs for _, theirs in both]))
        sink(DifferentRows(*place, DifferenceKind.DIFFERENT, source=source, target=target))


def repair_one(migration: Migration, *, table: str, **options: Any) -> TableRepair:
    """A repair of what the plain comparison finds in one table."""
    ends = migration.endpoints
    comparison = PlainComparison(migration, table)
    work = RepairOfTables(ends.state, ends.source, comparison, RepairSettings(**options), ends.tell)
    (done,) = work.run_once(ends.chosen([table])).tables
    return done


def repair(ferry: Ferry, table: str, **options: Any) -> TableRepair:
    """The same, with a connection of its own."""
    with ferry.migration() as migration:
        return repair_one(migration, table=table, **options)
