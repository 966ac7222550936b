"""The rows: kept in memory, written to DuckDB in bulk, looked up and removed by key.

A put is acknowledged when its batch is in memory. `write` turns everything put since the last time into one
insert a shape inside the caller's transaction; `gridferry.embedded.database` says when.

Measured with 10 M sensor rows in a random order of overlapping batches of 50,000: delete-then-insert by a join puts
1.14 M rows/s, INSERT OR REPLACE with a primary key 0.48 M and 115 MB more memory; replacing all of them 0.66 M and
0.70 M. Without rows to replace (see `KeyRanges`) it is a plain append, 4 M.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.embedded.catalog import Container
from gridferry.embedded.duck import Duck
from gridferry.embedded.shape import NUMBER, ROW_ID, TIMESTAMPS, Shape, shape_of, stored
from gridferry.embedded.sources import Source, committed
from gridferry.griddb.schema import GridType

_INTEGER_KEYS = TIMESTAMPS | {GridType.INTEGER, GridType.LONG}
_POSITION = "position"
_FIRST = f"0::BIGINT AS {_POSITION}"


@dataclass
class _Waiting:
    """What was put into one shape's containers and is not written yet."""

    tables: list[pa.Table] = field(default_factory=list)
    contested: bool = False


class RowStore:
    """All rows of all containers. Callers hold the database's lock."""

    def __init__(self, duck: Duck) -> None:
        self._duck = duck
        self._waiting: dict[Shape, _Waiting] = {}
        self._dropped: dict[Shape, list[int]] = {}
        self._made: set[Shape] = set()
        self.waiting_rows = 0
        self.waiting_bytes = 0

    @property
    def dirty(self) -> bool:
        """Whether there is something to `write`."""
        return bool(self._waiting) or bool(self._dropped)

    # putting

    def put(self, containers: Sequence[Container], batches: Sequence[pa.RecordBatch]) -> None:
        """Take rows of containers of one shape, a batch each; a row replaces the one with its key."""
        shape = shape_of(containers[0].schema)
        table = numbered_rows(containers, batches)
        waiting = self._waiting.setdefault(shape, _Waiting())
        waiting.tables.append(table)
        lengths = np.array([b.num_rows for b in batches], np.int64)
        waiting.contested |= _contested(shape, containers=containers, lengths=lengths, table=table)
        self.waiting_rows += table.num_rows
        self.waiting_bytes += table.nbytes

    def forget(self, container: Container) -> None:
        """The container was dropped: its rows go at the next `write`."""
        self._dropped.setdefault(shape_of(container.schema), []).append(container.number)

    # writing

    def write(self) -> None:
        """Write what waits, inside the caller's transaction; `written` or `failed` must follow."""
        for shape, waiting in self._waiting.items():
            self.make(shape)
            table = pa.concat_tables(waiting.tables).combine_chunks()
            self.replace(shape, table, contested=waiting.contested)
        for shape, numbers in self._dropped.items():
            self.make(shape)
            with self._duck.given({"gone_containers": pa.table({NUMBER: pa.array(numbers, pa.int64())})}):
                self._duck.run(f"DELETE FROM {shape.table} WHERE {NUMBER} IN (SELECT {NUMBER} FROM gone_containers)")

    def written(self) -> None:
        """The transaction is committed."""
        self._waiting.clear()
        self._dropped.clear()
        self.waiting_rows = 0
        self.waiting_bytes = 0

    def failed(self) -> None:
        """The transaction is lost, or seems so: keep what waits, and let the next `write` meet its own rows."""
        self._made.clear()
        for waiting in self._waiting.values():
            waiting.contested = True

    def make(self, shape: Shape) -> None:
        """See to it that the shape's table exists."""
        if shape not in self._made:
            self._duck.run(shape.ddl)
            self._made.add(shape)

    def replace(self, shape: Shape, table: pa.Table, *, contested: bool) -> None:
        """Insert stored rows; if `contested`, instead of those with their keys or row ids."""
        if contested and shape.key_length:
            table = last_of_each_key(shape, table)
            if shape.row_ids:
                table, contested = self._with_known_row_ids(shape, table)
        names = (NUMBER, *(shape.key_names or (ROW_ID,)))
        if contested and table.num_rows == 1:
            self._duck.run(f"DELETE FROM {shape.table} WHERE {_is_row(table, names)}")
            contested = False
        with self._duck.given({"incoming": table}):
            if contested:
                match = " AND ".join(f"t.{n} = i.{n}" for n in names)
                self._duck.run(f"DELETE FROM {shape.table} t USING incoming i WHERE {match}")
            self._duck.run(f"INSERT INTO {shape.table} SELECT * FROM incoming")

    def _with_known_row_ids(self, shape: Shape, table: pa.Table) -> tuple[pa.Table, bool]:
        """A row that replaces another keeps its row id. The second: whether any row does."""
        names = (NUMBER, *shape.key_names)
        if table.num_rows == 1:
            found = f"SELECT {_FIRST}, {ROW_ID} FROM {shape.table} WHERE {_is_row(table, names)}"
            known = self._duck.select(found)
        else:
            numbered = table.append_column(_POSITION, pa.array(np.arange(table.num_rows)))
            match = " AND ".join(f"t.{n} = i.{n}" for n in names)
            found = f"SELECT i.{_POSITION}, t.{ROW_ID} FROM {shape.table} t JOIN incoming i ON {match}"
            known = self._duck.select(found, tables={"incoming": numbered})
        if not known.num_rows:
            return table, False
        row_ids = table.column(ROW_ID).to_numpy().copy()
        row_ids[known.column(0).to_numpy()] = known.column(1).to_numpy()
        return table.set_column(1, ROW_ID, pa.array(row_ids)), True

    # by key

    def locate(self, source: Source, keys: pa.RecordBatch) -> pa.Table:
        """Which of the keys exist: `position` in `keys`, and the whole stored row beside it, by position."""
        names = ", ".join(f"t.{n}" for n in source.shape.names)
        wanted = key_table(source.shape, keys)
        if wanted.num_rows == 1:
            found = f"SELECT {_FIRST}, {names} FROM {source.sql} t WHERE {_is_row(wanted, source.shape.key_names)}"
            return self._duck.select(found, tables=source.tables)
        match = " AND ".join(f"t.{n} = k.{n}" for n in source.shape.key_names)
        return self._duck.select(
            f"SELECT k.{_POSITION}, {names} FROM {source.sql} t JOIN wanted_keys k ON {match} ORDER BY k.{_POSITION}",
            tables={**source.tables, "wanted_keys": wanted},
        )

    def locate_in(self, wanted: Sequence[tuple[Container, pa.RecordBatch]]) -> tuple[pa.Table, list[int]]:
        """The stored rows that containers of one shape have for their keys, container by container, in the keys' order.

        Returns: those of `wanted[i]` from row `edges[i]` up to `edges[i + 1]` of the table.
        """
        if len(wanted) == 1:
            container, keys = wanted[0]
            found = self.locate(committed(container), keys).drop_columns([_POSITION]).combine_chunks()
            return found, [0, found.num_rows]
        shape = shape_of(wanted[0][0].schema)
        counts = np.array([keys.num_rows for _, keys in wanted], np.int64)
        table = pa.concat_tables([key_table(shape, keys).drop_columns([_POSITION]) for _, keys in wanted])
        numbers = np.repeat(np.array([c.number for c, _ in wanted], np.int64), counts)
        table = table.append_column(NUMBER, pa.array(numbers))
        table = table.append_column(_POSITION, pa.array(np.arange(table.num_rows))).combine_chunks()
        names = ", ".join(f"t.{n}" for n in shape.names)
        match = " AND ".join(f"t.{n} = k.{n}" for n in (NUMBER, *shape.key_names))
        found = self._duck.select(
            f"SELECT k.{_POSITION}, {names} FROM {shape.table} t JOIN wanted_keys k ON {match} ORDER BY k.{_POSITION}",
            tables={"wanted_keys": table},
        ).combine_chunks()
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        edges: list[int] = np.searchsorted(found.column(_POSITION).to_numpy(), ends).tolist()
        return found.drop_columns([_POSITION]), edges

    def remove(self, container: Container, identities: pa.Array) -> None:
        """Delete rows by identity, inside the caller's transaction."""
        shape = shape_of(container.schema)
        with self._duck.given({"gone_rows": pa.table({"identity": identities})}):
            self._duck.run(
                f"DELETE FROM {shape.table} WHERE {NUMBER} = {container.number}"
                f" AND {shape.identity} IN (SELECT identity FROM gone_rows)"
            )

    def widen(self, container: Container, table: pa.Table) -> None:
        """Count the keys of stored rows among those the container may hold."""
        shape = shape_of(container.schema)
        if table.num_rows and _ranged(shape):
            keys = table.column(shape.value_names[0]).to_numpy()
            container.ranges.add(int(keys.min()), int(keys.max()))

    def may_hold(self, container: Container, keys: pa.RecordBatch) -> bool:
        """Whether a look-up of the keys could find anything."""
        shape = shape_of(container.schema)
        if not _ranged(shape):
            return shape.key_length > 0
        first = keys.column(0).cast(pa.int64()).to_numpy()
        return len(first) > 0 and container.ranges.overlaps(int(first.min()), int(first.max()))

    def move(self, container: Container, *, target: Shape, values: Sequence[str]) -> None:
        """Move a container's rows to another shape, inside the caller's transaction; `values` are SQL, by column."""
        source = shape_of(container.schema)
        self.make(source)
        self.make(target)
        names = ", ".join([NUMBER, *([ROW_ID] if target.row_ids else []), *values])
        where = f"WHERE {NUMBER} = {container.number}"
        # By way of a third table: both shapes may be the same one.
        self._duck.run(f"CREATE TEMP TABLE moving AS SELECT {names} FROM {source.table} {where}")
        self._duck.run(f"DELETE FROM {source.table} {where}")
        self._duck.run(f"INSERT INTO {target.table} SELECT * FROM moving")
        self._duck.run("DROP TABLE moving")

    def recall(self, containers: Sequence[Container]) -> None:
        """Learn each container's key range and next row id from its rows: what a restart has forgotten."""
        by_number = {c.number: c for c in containers}
        for shape in {shape_of(c.schema) for c in containers}:
            self.make(shape)
            ranged = _ranged(shape)
            span = f"min({shape.value_names[0]}), max({shape.value_names[0]})" if ranged else "NULL, NULL"
            last = f"max({ROW_ID})" if shape.row_ids else "NULL"
            found = self._duck.select(f"SELECT {NUMBER}, {span}, {last} FROM {shape.table} GROUP BY {NUMBER}")
            for number, low, high, row_id in zip(*(c.to_pylist() for c in found.columns), strict=True):
                container = by_number.get(number)
                if container is None:
                    continue
                if ranged:
                    container.ranges.add(low, high)
                if row_id is not None:
                    container.next_row_id = row_id + 1


def numbered_rows(containers: Sequence[Container], batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """The batches of containers of one shape as they are stored, with new row ids where the shape has them."""
    shape = shape_of(containers[0].schema)
    lengths = np.array([b.num_rows for b in batches], np.int64)
    values = pa.Table.from_batches([stored(shape, b) for b in batches], schema=shape.physical).combine_chunks()
    columns = [pa.array(np.repeat(np.array([c.number for c in containers], np.int64), lengths))]
    if shape.row_ids:
        columns.append(pa.array(_take_row_ids(containers, lengths)))
    return pa.table([*columns, *values.columns], names=list(shape.names))


def key_table(shape: Shape, keys: pa.RecordBatch) -> pa.Table:
    """Keys as they are stored, numbered from 0."""
    names = list(shape.key_names)
    columns = [k.cast(shape.physical.field(n).type) for k, n in zip(keys.columns, names, strict=True)]
    return pa.table([*columns, pa.array(np.arange(keys.num_rows))], names=[*names, _POSITION])


def _is_row(table: pa.Table, names: Sequence[str]) -> str:
    """SQL that is true for a row that has what the only row of `table` has under these names: integers and texts.

    A comparison costs a third of a join with a table of one row, and one row is what is asked for most.
    """
    return " AND ".join(f"{name} = {_literal(table.column(name)[0].as_py())}" for name in names)


def _literal(value: int | str) -> str:
    return f"({value})::BIGINT" if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _take_row_ids(containers: Sequence[Container], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    taken = []
    for container, count in zip(containers, lengths.tolist(), strict=True):
        taken.append(np.arange(container.next_row_id, container.next_row_id + count, dtype=np.int64))
        container.next_row_id += count
    return np.concatenate(taken)


def _ranged(shape: Shape) -> bool:
    return shape.key_length > 0 and shape.columns[0][0] in _INTEGER_KEYS


def _contested(shape: Shape, *, containers: Sequence[Container], lengths: NDArray[np.int64], table: pa.Table) -> bool:
    """Whether a row of these may replace a row that is there, or one another. Widens the containers' ranges."""
    if not shape.key_length:
        return False
    if not _ranged(shape):
        return True
    keys = table.column(shape.value_names[0]).to_numpy()
    ends = np.cumsum(lengths)
    starts = ends - lengths
    contested = shape.key_length > 1
    if not contested and len(keys) > 1:
        rising = np.diff(keys.astype(np.int64, copy=False)) > 0
        rising[ends[(ends > 0) & (ends < len(keys))] - 1] = True
        contested = not bool(rising.all())
    for container, start, end in zip(containers, starts.tolist(), ends.tolist(), strict=True):
        if start == end:
            continue
        low, high = int(keys[start:end].min()), int(keys[start:end].max())
        contested |= container.ranges.overlaps(low, high)
        container.ranges.add(low, high)
    return contested


def last_of_each_key(shape: Shape, table: pa.Table) -> pa.Table:
    """The last row of each key, with the row id of the first: a row that is put twice is replaced once."""
    keys = [NUMBER, *shape.key_names]
    numbered = table.select([*keys, *([ROW_ID] if shape.row_ids else [])])
    numbered = numbered.append_column(_POSITION, pa.array(np.arange(table.num_rows)))
    wanted = [(_POSITION, "max"), *([(ROW_ID, "min")] if shape.row_ids else [])]
    groups = numbered.group_by(keys, use_threads=False).aggregate(wanted)
    if groups.num_rows == table.num_rows:
        return table
    groups = groups.sort_by(f"{_POSITION}_max")
    kept = table.take(groups.column(f"{_POSITION}_max"))
    return kept.set_column(1, ROW_ID, groups.column(f"{ROW_ID}_min")) if shape.row_ids else kept
