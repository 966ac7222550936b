"""One chunk: read -> transform -> split by container -> put -> flush. The checkpoint is the caller's next step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.checkpoint.quarantine import HeldRow, Quarantine, row_id
from gridferry.errors import DataError
from gridferry.griddb import BulkWriter, Store
from gridferry.griddb.handle import Handle
from gridferry.model.chunk import Chunk
from gridferry.plan.advice import leave_out_nulls, load_again
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_names import spelled
from gridferry.source.contract import ReadsRows
from gridferry.source.postgres.sql.key_text import key_text
from gridferry.target.table import TableTarget
from gridferry.transform.compiled import BadRows, CompiledTransform, Converted, compile_columns
from gridferry.transform.refusals import Reason
from gridferry.transform.split import split_batch

Placed = tuple[Sequence[Handle], NDArray[np.int64]]


@dataclass(frozen=True)
class CopyResult:
    """What became of one chunk's rows. `put_s` and `flush_s` say how long the target took for them.

    `placed`: what was put where, as containers and the bounds of their rows.
    """

    rows: int
    octets: int
    quarantined: int
    put_s: float = 0.0
    flush_s: float = 0.0
    placed: tuple[Placed, ...] = ()


@dataclass(frozen=True)
class Sent:
    """Rows that the target acknowledged and has not on its disk yet; `held` are to be quarantined once it has."""

    rows: int
    octets: int
    held: tuple[HeldRow, ...]
    put_s: float
    placed: tuple[Placed, ...]

    def flushed(self, flush_s: float) -> CopyResult:
        """What became of them, once they are on disk and the others are in the quarantine."""
        return CopyResult(self.rows, self.octets, len(self.held), self.put_s, flush_s, self.placed)


class ChunkCopier:
    """Copies chunks of one table. One a worker; `progress` hears (rows, bytes) as they are acknowledged.

    `check` is called before each message to the target; what it raises ends the copy. `standing`: rows may be in the
    target already, so those that are quarantined are taken out of it.
    """

    def __init__(
        self,
        *,
        store: Store,
        plan: TablePlan,
        target: TableTarget,
        quarantine: Quarantine,
        progress: Callable[[int, int], None],
        check: Callable[[], None],
        standing: bool = False,
    ) -> None:
        self._store = store
        self._plan = plan
        self._schema = plan.container_schema
        self._transform: CompiledTransform = compile_columns(plan)
        key_steps = self._transform.steps[: plan.key_length]
        self._keys = CompiledTransform(plan.qualified, self._schema.key_schema.arrow_schema, key_steps)
        self._standing = standing
        self._target = target
        self._quarantine = quarantine
        self._progress = progress
        self._check = check
        self._placed: list[Placed] = []

    def copy(self, reader: ReadsRows, chunk: Chunk) -> CopyResult:
        """Store all rows of a chunk; when this returns they are on the target's disk.

        Raises: as `store`.
        """
        return self.store(lambda: reader.read_chunk(chunk, self._plan), name=f"{chunk.number:09d}")

    def store(self, read: Callable[[], Iterable[pa.RecordBatch]], *, name: str) -> CopyResult:
        """Store all rows of some batches; when this returns they are on the target's disk.

        Quarantined rows have ids that begin with `name`.
        Raises: DataError for a row that cannot be stored, unless the plan says quarantine; errors of either side.
        """
        with self.writer() as writer:
            sent = self.send(writer, read, name=name)
            began = time.monotonic()
            writer.flush_log()
            flush_s = time.monotonic() - began
            self._quarantine.hold(sent.held)
            return sent.flushed(flush_s)

    def send_chunk(self, writer: BulkWriter, reader: ReadsRows, chunk: Chunk) -> Sent:
        """Put all rows of a chunk: see `send`."""
        return self.send(writer, lambda: reader.read_chunk(chunk, self._plan), name=f"{chunk.number:09d}")

    def send(self, writer: BulkWriter, read: Callable[[], Iterable[pa.RecordBatch]], *, name: str) -> Sent:
        """Put all rows of some batches; when this returns they are acknowledged. Flush and quarantine are the caller's.

        Raises: as `store`; the writer is then of no use.
        """
        held: list[HeldRow] = []
        seen: Counter[str] = Counter()
        before = told = writer.rows, writer.octets
        self._placed = []
        put_s = 0.0
        for batch in read():
            self._check()
            began = time.monotonic()
            held += self._put(writer, batch, name=name, seen=seen)
            put_s += time.monotonic() - began
            told = self._tell(writer, told)
        began = time.monotonic()
        writer.drain()
        put_s += time.monotonic() - began
        self._tell(writer, told)
        rows, octets = writer.rows - before[0], writer.octets - before[1]
        return Sent(rows, octets, tuple(held), put_s, tuple(self._placed))

    def writer(self) -> BulkWriter:
        """A writer for `put`."""
        return self._store.writer(before_send=self._check)

    def put(self, writer: BulkWriter, batch: pa.RecordBatch) -> None:
        """Put a batch of source rows, all of which must be good."""
        self._put(writer, batch, name="", seen=Counter())

    def _tell(self, writer: BulkWriter, told: tuple[int, int]) -> tuple[int, int]:
        if writer.rows > told[0]:
            self._progress(writer.rows - told[0], writer.octets - told[1])
        return writer.rows, writer.octets

    def _put(self, writer: BulkWriter, batch: pa.RecordBatch, *, name: str, seen: Counter[str]) -> list[HeldRow]:
        converted = self._transform.transform(batch)
        held: list[HeldRow] = []
        if converted.bad:
            held = self._refused(batch, converted.bad, name=name, seen=seen)
            if self._standing:
                self._take_out(writer, batch.take(pa.array(converted.bad_rows)))
        split = split_batch(converted.batch, self._split_column(batch, converted))
        if len(split.batch):
            handles = self._target.handles(split.values)
            writer.put(self._schema, split.batch, handles, split.boundaries)
            self._placed.append((handles, split.boundaries))
        return held

    def _take_out(self, writer: BulkWriter, rows: pa.RecordBatch) -> None:
        """Delete what is stored under the keys of `rows`: it is what they were before."""
        keys = self._keys.transform(rows)  # a row whose key has no place does not stand there either
        split = split_batch(keys.batch, self._split_column(rows, keys))
        if len(split.batch):
            writer.delete(self._schema, split.batch, self._target.handles(split.values), split.boundaries)

    def _split_column(self, batch: pa.RecordBatch, converted: Converted) -> pa.Array | None:
        """The split value of each converted row."""
        if self._plan.split_by is None:
            return None
        by = batch.column(batch.schema.get_field_index(self._plan.split_by))
        return by if converted.rows is None else by.take(pa.array(converted.rows))

    def _refused(
        self, batch: pa.RecordBatch, bad: tuple[BadRows, ...], *, name: str, seen: Counter[str]
    ) -> list[HeldRow]:
        for group in bad:
            if not self._plan.puts_aside(group.column):
                raise self._refusal(batch, group)
        held = []
        taken: set[int] = set()
        for group in bad:
            for row in group.rows.tolist():
                if row not in taken:
                    taken.add(row)
                    held.append(
                        held_row(
                            self._plan,
                            batch.slice(row, 1),
                            column=group.column,
                            reason=group.reason.value,
                            sentence=group.sentence,
                            name=name,
                            seen=seen,
                        )
                    )
        return held

    def _refusal(self, batch: pa.RecordBatch, bad: BadRows) -> DataError:
        row = int(np.asarray(bad.rows)[0])
        return DataError(
            f"{self._plan.qualified}: {bad.sentence}, in the row with {row_key(self._plan, batch.slice(row, 1))}",
            table=self._plan.qualified,
            column=bad.column,
            row=row,
            state="rows and chunks stored before stay; the load is not complete",
            next_step=advice_for(self._plan, bad),
        )


def advice_for(plan: TablePlan, bad: BadRows) -> str:
    """What to do about rows that the target cannot hold: what the next run takes, and what needs a new load."""
    return (
        "set `on_bad_row: quarantine` for the table, or change the row in PostgreSQL, then run the same command again; "
        f"or {new_load_for(plan, bad)}"
    )


def new_load_for(plan: TablePlan, bad: BadRows) -> str:
    """The change of the config under which a new load takes such rows."""
    again = load_again(spelled(plan.schema, plan.table))
    if bad.reason is Reason.FINE_TIME and plan.key == (bad.column,):
        return f"set `precision: keep` for the table (with no type for {bad.column} in `columns`) and {again}"
    if bad.column in plan.key and bad.reason is Reason.NULL:
        return f"{leave_out_nulls((bad.column,), where=plan.where)} and {again}; or choose another `key`"
    if bad.column in plan.key:  # it cannot be excluded
        return f"override the column {bad.column} or choose another `key`, and {again}"
    return f"exclude or override the column {bad.column} and {again}"


def held_row(
    plan: TablePlan,
    row: pa.RecordBatch,
    *,
    column: str,
    reason: str,
    sentence: str,
    name: str,
    seen: Counter[str],
) -> HeldRow:
    """A row for the quarantine, with the container it was for and its key as people read it."""
    value = None
    if plan.split_by is not None:
        scalar = row.column(row.schema.get_field_index(plan.split_by)).cast(pa.utf8())[0]
        value = scalar.as_py()
    return HeldRow(
        table=plan.qualified,
        id=row_id(name, row, seen),
        container=container_name(plan, value),
        column=column,
        reason=reason,
        sentence=sentence,
        key=row_key(plan, row),
        row=row,
    )


def row_key(plan: TablePlan, row: pa.RecordBatch) -> str:
    """`device = x, ts = y`: the key of a batch of one row, with the split column in front."""
    names = ([plan.split_by] if plan.split_by is not None else []) + [k for k in plan.key if k != plan.split_by]
    return ", ".join(f"{name} = {_shown(row.column(row.schema.get_field_index(name)))}" for name in names)


def _shown(value: pa.Array) -> str:
    if value.null_count:
        return "NULL"
    text = key_text(value)
    if text is None and pa.types.is_timestamp(value.type):
        return f"(internal {value.view(pa.int64())[0].as_py()})"
    return "(not printable)" if text is None else text
