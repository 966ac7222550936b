"""Bugs that others had, and some that are easily made, put back one at a time into the processes of the runs.

Each is a change of gridferry while it runs; nothing in its sources knows of them. `test_planted.py` proves that the
histories notice each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import sql

from gridferry.checkpoint.lease import Lease
from gridferry.checkpoint.positions import CdcRecord, PositionStore
from gridferry.engine.ownership import lineage
from gridferry.engine.sync.cdc import table as cdc
from gridferry.engine.sync.cdc.apply import ChangeWriter
from gridferry.engine.sync.cdc.fold import Folder
from gridferry.engine.sync.cdc.key_events import KeyEvents
from gridferry.engine.sync.cdc.run import CdcRun
from gridferry.engine.sync.syncs import Syncs
from gridferry.engine.sync.watermark import mode as watermark_sync
from gridferry.engine.sync.watermark import run as watermark
from gridferry.errors import FerryError
from gridferry.griddb import BulkWriter
from gridferry.model.change import ChangeBatch, Operation
from gridferry.model.position import Lsn
from gridferry.model.publishing import Published
from gridferry.plan.plan import Kernel
from gridferry.source.postgres.log.decoder import ChangeDecoder
from gridferry.source.postgres.log.pgoutput import Begin
from gridferry.source.postgres.log.spill import Spill
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.rows import new_rows as source_watermark
from gridferry.source.postgres.slots import publications
from gridferry.transform import kernels


@dataclass(frozen=True)
class Bug:
    """`plant` puts it into this process; `mode` is the one whose histories notice it."""

    mode: str
    plant: Callable[[], None]


BUGS: dict[str, Bug] = {}
_TRUE, _FALSE = sql.SQL("true"), sql.SQL("false")


def plant(name: str) -> None:
    """Put a bug into this process."""
    BUGS[name].plant()


def bug(name: str, *, mode: str = "cdc") -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Enter a bug under its name."""

    def enter(planting: Callable[[], None]) -> Callable[[], None]:
        BUGS[name] = Bug(mode, planting)
        return planting

    return enter


def around(owner: Any, name: str, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replace a function by one made from it."""
    original = getattr(owner, name)
    setattr(owner, name, functools.wraps(original)(made(original)))


def instead(owner: Any, name: str, function: Callable[..., Any]) -> None:
    """Replace a function by another."""
    setattr(owner, name, function)


def nothing(*_: Any, **__: Any) -> None:
    """Does nothing."""


# Mode watermark.


def _found_by(condition: Callable[[Any, Any], sql.Composable]) -> None:
    def new_rows(column: Any, cursor: Any, *, floor: Any, next_xid: Any) -> sql.Composable:
        return condition(column, cursor)

    source_watermark.new_rows = new_rows


@bug("trap 1: what is later than the greatest value seen is new", mode="watermark")
def _greatest() -> None:
    def condition(column: Any, cursor: Any) -> sql.Composable:
        if cursor.position is None:
            return _TRUE
        name, value = sql.Identifier(column.name), source_watermark._value(column, cursor.position)
        return sql.SQL("({0} > {1} OR {0} IS NULL)").format(name, value)

    _found_by(condition)


@bug("trap 2: .999999 is added to the stamp", mode="watermark")
def _almost_a_second() -> None:
    def condition(column: Any, cursor: Any) -> sql.Composable:
        if cursor.position is None:
            return _TRUE
        name, value = sql.Identifier(column.name), source_watermark._value(column, cursor.position)
        if column.growth.value == "time":
            value = sql.SQL("date_trunc('second', {}) + interval '0.999999 s'").format(value)
        return sql.SQL("({0} > {1} OR {0} IS NULL)").format(name, value)

    _found_by(condition)


@bug("trap 2: microseconds are lost", mode="cdc")
def _milliseconds() -> None:
    def cut(array: pa.Array, column: Any) -> Any:
        cut_off = array.cast(pa.timestamp("ms", getattr(array.type, "tz", None)), safe=False).cast(array.type)
        return original(cut_off, column)

    original = kernels.time_us
    kernels.KERNELS[Kernel.TIME_US] = cut


@bug("trap 3: rows of one millisecond are one", mode="watermark")
def _merged() -> None:
    _milliseconds()
    instead(watermark.WatermarkRun, "_resolve", nothing)


@bug("trap 4: the newest rows come first", mode="watermark")
def _newest_first() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: reversed(list(original(*args, **options)))

    around(source_watermark, "read_window", made)


@bug("trap 5: a transaction that was open is not looked for", mode="watermark")
def _open_missed() -> None:
    def condition(column: Any, cursor: Any) -> sql.Composable:
        if cursor.position is None:
            return _TRUE
        low = source_watermark._value(column, cursor.position)
        back: sql.Composable = sql.Literal(column.lookback)
        if column.growth.value == "time":
            back = sql.SQL("interval '{} milliseconds'").format(sql.SQL(str(column.lookback)))
        return sql.SQL("({0} >= {1} - {2} OR {0} IS NULL)").format(sql.Identifier(column.name), low, back)

    _found_by(condition)


@bug("trap 15: nothing is new where nothing was seen", mode="watermark")
def _nothing_yet() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def new_rows(column: Any, cursor: Any, **options: Any) -> sql.Composable:
            return _FALSE if cursor.position is None else original(column, cursor, **options)

        return new_rows

    around(source_watermark, "new_rows", made)


@bug("late rows are not looked for", mode="watermark")
def _no_lookback() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: replace(original(*args), lookback=0)

    around(watermark, "growing_column", made)


@bug("the rows of a copy of the source are not looked for", mode="watermark")
def _copy_not_looked_for() -> None:
    around(watermark_sync, "require_claimed", lambda original: nothing)


@bug("a copy of the source's files is taken for the source", mode="cdc")
def _copy_taken() -> None:
    around(lineage, "why_not_marked", lambda original: lambda *_: "")


# Mode cdc: what becomes of changes.


def _folded(change: Callable[[ChangeBatch], ChangeBatch]) -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, batch, read: original(self, change(batch), read)

    around(Folder, "fold", made)


@bug("trap 6: updates are not seen")
def _no_updates() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, message: original(self, message) if message[:1] != b"U" else None

    around(ChangeDecoder, "_row", made)


@bug("trap 6: deletes are not seen")
def _no_deletes() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, message: original(self, message) if message[:1] != b"D" else None

    around(ChangeDecoder, "_row", made)


@bug("a new key is a put without a delete")
def _old_key_stays() -> None:
    def without_old(batch: ChangeBatch) -> ChangeBatch:
        keep = batch.operations[batch.old_changes] == Operation.DELETE
        return replace(batch, old=batch.old.filter(pa.array(keep)), old_changes=batch.old_changes[keep])

    _folded(without_old)


@bug("a long text that was not sent is NULL")
def _unchanged_is_null() -> None:
    _folded(lambda batch: replace(batch, unchanged={}))


@bug("the first change of a key stays")
def _first_stays() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def init(self: Any, *args: Any) -> None:
            original(self, *args)
            codes = self._codes
            self.last = self.sorted[np.append(True, codes[1:] != codes[:-1])[: len(codes)]]

        return init

    around(KeyEvents, "__init__", made)


@bug("trap 7: a new device is ignored")
def _known_only() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def put(self: Any, writer: Any, rows: pa.RecordBatch, by: Any) -> None:
            if by is not None:
                known = pa.array([value in self.target for value in by.to_pylist()], pa.bool_())
                rows, by = rows.filter(known), by.filter(known)
            original(self, writer, rows, by)

        return put

    around(ChangeWriter, "_put", made)


@bug("TRUNCATE is ignored")
def _no_truncate() -> None:
    instead(ChangeWriter, "truncate", nothing)


@bug("deletes come after the puts of later batches")
def _late_deletes() -> None:
    waiting: list[Any] = []

    def hold(self: Any, writer: Any, deletes: Any) -> None:
        waiting.append((self, deletes))

    delete = ChangeWriter._delete
    instead(ChangeWriter, "_delete", hold)

    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def stream(self: Any, *, until: Any) -> Any:
            ended = original(self, until=until)
            if not ended:
                waiting.clear()  # the table got a column, and these changes come again
            with self._state.store.writer() as writer:
                for late, deletes in waiting:
                    delete(late, writer, deletes)
                writer.flush_log()
            waiting.clear()
            return ended

        return stream

    around(CdcRun, "_stream", made)


@bug("the default of an added column is not filled in")
def _no_default() -> None:
    def altered(state: Any, plan: Any, view: Any, **_: Any) -> None:
        entries = state.catalog.entries(plan.qualified)
        state.store.create_containers([e.container for e in entries], plan.container_schema, modify=True)

    instead(cdc, "add_columns", altered)


# Mode cdc: large transactions that are sent while they are open.


@bug("a large transaction that was rolled back is applied")
def _aborted_applied() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def abort(self: Any, message: bytes) -> None:
            xid, subxid = (int.from_bytes(message[at : at + 4], "big") for at in (1, 5))
            if xid != subxid or xid not in self._spills:
                original(self, message)
                return
            self._open(Begin(1 << 62, 0, xid))  # behind whatever a table has stored
            for each in self._spills.pop(xid).read():
                self._apply(each)
            self._begun = None

        return abort

    around(ChangeDecoder, "_stream_abort", made)
    ChangeDecoder._CONTROL = {**ChangeDecoder._CONTROL, ord("A"): ChangeDecoder._stream_abort}


@bug("rows of a savepoint that was rolled back are applied")
def _savepoint_applied() -> None:
    instead(Spill, "roll_back", nothing)


# Order of safety, leases, errors.


@bug("trap 8: a retry begins with an empty target")
def _dropped_on_retry() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def begin(self: Any, records: Sequence[CdcRecord]) -> list[CdcRecord]:
            if any(record.last_started and not record.last_finished for record in records):
                store = self._documents._store
                names = [name for name in store.container_names() if not name.startswith("gridferry_")]
                for container in store.open_containers(names).values():
                    keys = container.schema.names[: container.schema.key_length]
                    for rows in list(container.scan().batches()):
                        container.delete(rows.select(keys))
            return original(self, records)

        return begin

    around(PositionStore, "begin_all", made)


@bug("trap 9: errors are swallowed")
def _green() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def sync(self: Any, *args: Any, **options: Any) -> Any:
            try:
                return original(self, *args, **options)
            except FerryError:
                return []

        return sync

    around(Syncs, "sync", made)


@bug("trap 14: the lease is ignored")
def _no_lease() -> None:
    instead(Lease, "_acquire", nothing)
    instead(Lease, "_release", nothing)
    instead(Lease, "_beat", nothing)
    instead(Lease, "check", nothing)


@bug("trap 16: acknowledged is taken for flushed")
def _no_flush() -> None:
    def drained(self: BulkWriter) -> int:
        self.drain()
        return 0

    instead(BulkWriter, "flush_log", drained)


@bug("trap 16: the checkpoint comes before the flush")
def _checkpoint_first() -> None:
    """The position is written as soon as a group is at hand."""

    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def store(self: Any, group: Any, stream: Any, by_key: Any) -> Any:
            for each in by_key.values():
                if group.position is not None and group.position > each.record.position:
                    saved = self._state.positions.save(replace(each.record, position=group.position))
                    each.record = each.saved = replace(saved, position=each.record.position)
            return original(self, group, stream, by_key)

        return store

    around(CdcRun, "_store", made)


@bug("PostgreSQL is told before the checkpoint is written")
def _confirmed_first() -> None:
    def made(original: Callable[..., Any]) -> Callable[..., Any]:
        def groups(self: ChangeStream, *, until: Lsn | None = None) -> Any:
            for group in original(self, until=until):
                if group.position is not None:
                    self.confirm(group.position)
                yield group

        return groups

    around(ChangeStream, "groups", made)


@bug("trap 21: a table without an identity is published for all")
def _published_for_all() -> None:
    publications._KINDS[Published.INSERTS] = publications._KINDS[Published.ALL]
