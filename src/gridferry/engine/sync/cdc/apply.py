"""Folded changes -> the target: keys deleted, rows put, all of it flushed. The checkpoint is the caller's next step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from gridferry.checkpoint.quarantine import HeldRow
from gridferry.checkpoint.state import TargetState
from gridferry.engine.load.copying import OpensSnapshots, SnapshotView
from gridferry.engine.ownership.container_claims import table_target
from gridferry.engine.rows.copier import held_row, new_load_for, row_key
from gridferry.engine.rows.keyed_rows import KeyedRows, matched
from gridferry.engine.rows.keys import Keys
from gridferry.engine.rows.once_quarantine import OnceQuarantine
from gridferry.engine.rows.until_stored import until_stored
from gridferry.engine.sync.cdc.conflict_lookup import ResolvedConflicts, resolve_conflicts
from gridferry.engine.sync.cdc.conflicts import ConflictingKeys
from gridferry.engine.sync.cdc.fold import Folded, Folder
from gridferry.engine.sync.cdc.generated_keys import settle, stored_keys, touched
from gridferry.engine.sync.counts import ContainerCounts
from gridferry.errors import DataError, FerryError
from gridferry.griddb import BulkWriter
from gridferry.griddb.handle import Handle
from gridferry.model.change import ChangeBatch
from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.rows.key_rows import read_rows_like
from gridferry.target.table import TableTarget
from gridferry.transform.compiled import BadRows, compile_columns
from gridferry.transform.split import split_batch


@dataclass(frozen=True)
class Applied:
    """What became of a batch of changes: rows put, rows deleted, rows quarantined.

    `put_s` and `flush_s` say how long the target took, `containers` which of them got what.
    """

    written: int = 0
    deleted: int = 0
    quarantined: int = 0
    put_s: float = 0.0
    flush_s: float = 0.0
    containers: ContainerCounts = field(default_factory=ContainerCounts)


class ChangeWriter:
    """Applies changes of one table to `target`. `check` is called before each message to its containers."""

    def __init__(
        self,
        state: TargetState,
        plan: TablePlan,
        source: OpensSnapshots,
        *,
        on_retry: Callable[[FerryError], None],
        check: Callable[[], None],
        proven: bool = True,
        fit: Callable[[SnapshotView], TablePlan] | None = None,
    ) -> None:
        """Args: fit: the plan for the table as a snapshot has it, whose columns may have other names than the log's."""
        self._fit = fit or (lambda view: plan)
        self._state = state
        self._plan = plan
        self._source = source
        self._on_retry = on_retry
        self._check = check
        self._folder = Folder(plan, proven=proven)
        self._quarantine = OnceQuarantine(state.quarantine, plan.qualified)
        self._sent = ContainerCounts()

    @cached_property
    def target(self) -> TableTarget:
        """The table's containers: looked up when there is a change to apply; most of many tables may have none."""
        return table_target(self._state, self._plan)

    @property
    def has_applied(self) -> bool:
        """Whether the containers were ever needed."""
        return "target" in self.__dict__

    def apply(self, batch: ChangeBatch) -> Applied:
        """Store a batch's changes; when this returns they are on the target's disk. May be called again for the same.

        Raises: DataError for a row that cannot be stored, unless the plan says quarantine; errors of either side.
        """
        return until_stored(self.target, lambda: self._apply(batch), on_retry=self._on_retry)

    def truncate(self) -> None:
        """Empty the table's containers, and forget its quarantined rows."""
        self.target.empty()
        table = self._plan.qualified
        self._quarantine.release(table, [row.id for row in self._quarantine.rows(table)])
        self._quarantine = OnceQuarantine(self._state.quarantine, table)

    def _apply(self, batch: ChangeBatch) -> Applied:
        folded = None if self._plan.numbered else self._folder.fold(batch, self._read_stored)
        parts: list[Folded | ResolvedConflicts]
        parts = self._settled(batch) if folded is None else [folded, *self._resolved(folded.conflicting)]
        held = self._refused(parts)
        self._sent = ContainerCounts()
        began = time.monotonic()
        with self._state.store.writer(before_send=self._check) as writer:
            for part in parts:
                self._delete(writer, part.deletes)
                self._put(writer, part.puts, part.put_split)
            if folded is not None:
                self._put_current(writer, folded)
            sent = time.monotonic()
            # Over the connections that carried deletes and puts: a node that crashed between would flush without them.
            writer.flush_log()
            flush_s = time.monotonic() - sent
        self._quarantine.hold(held)
        return Applied(writer.rows, writer.deleted, len(held), sent - began, flush_s, self._sent)

    def _put(self, writer: BulkWriter, rows: pa.RecordBatch, by: pa.Array | None) -> None:
        split = split_batch(rows, by)
        if len(split.batch):
            handles = self.target.handles(split.values)
            writer.put(self._plan.container_schema, split.batch, handles, split.boundaries)
            self._sent.put(handles, split.boundaries)

    def _put_current(self, writer: BulkWriter, folded: Folded) -> None:
        """Put rows with values that were neither sent nor are stored, as the source has them now.

        That is no older than the change; what came after it is still to come in the stream. A row that is gone there
        is deleted or moved by a later change.
        """
        if not len(folded.unknown):
            return
        changed = [folded.source.slice(place, 1) for place in folded.unknown.tolist()]
        with self._source.open_snapshot() as view, view.open_reader() as reader:
            plan = self._fit(view)
            transform = compile_columns(plan)
            for rows in read_rows_like(reader, plan, [_named_for(plan, self._plan, row) for row in changed]):
                converted = transform.transform(rows)
                good = rows if converted.rows is None else rows.take(pa.array(converted.rows))
                self._put(writer, converted.batch, _split_column(plan, good))

    def _delete(self, writer: BulkWriter, deletes: Keys) -> None:
        split = split_batch(deletes.keys, deletes.split)
        # Rows of a value that has no container were never put: nothing is to be deleted.
        known = [i for i, value in enumerate(split.values) if value in self.target]
        if not known:
            return
        keys = split.batch
        if len(known) < len(split.values):
            keys = pa.Table.from_batches([split.part(i) for i in known]).combine_chunks().to_batches()[0]
        runs = np.cumsum([0, *np.diff(split.boundaries)[known]])
        handles = self.target.handles([split.values[i] for i in known])
        writer.delete(self._plan.container_schema, keys, handles, runs)
        self._sent.delete(handles, runs)

    def _read_stored(self, keys: Keys) -> KeyedRows:
        """What the containers hold for some keys."""
        split = split_batch(keys.keys, keys.split)
        known = [i for i, value in enumerate(split.values) if value in self.target]
        handles = self.target.handles([split.values[i] for i in known])
        asked = [(handle, split.part(i)) for handle, i in zip(handles, known, strict=True)]
        schema = self._plan.container_schema
        rows, owners = self._state.store.multi_get(asked, schema)
        # Containers are distinguished by their place in the split.
        wanted = np.repeat(np.arange(len(split.values)), np.diff(split.boundaries))
        found = Keys(rows.select(schema.names[: schema.key_length]), pa.array(np.array(known, np.int64)[owners]))
        at, _ = matched(Keys(split.batch, pa.array(wanted, pa.int64())), found)
        places = np.empty(len(at), np.int64)
        places[np.arange(len(at)) if split.order is None else split.order] = at
        return KeyedRows(rows, places)

    def _resolved(self, conflicting: ConflictingKeys | None) -> list[ResolvedConflicts]:
        if not conflicting:
            return []
        with self._source.open_snapshot() as view, view.open_reader() as reader:
            plan = self._fit(view)
            rows = tuple(_named_for(plan, self._plan, row) for row in conflicting.rows)
            return list(resolve_conflicts(reader, plan, replace(conflicting, rows=rows)))

    def _settled(self, batch: ChangeBatch) -> list[Folded | ResolvedConflicts]:
        """What the source has now of the values that changes of a table with a generated key name."""
        hashes = touched(self._plan, batch)
        handles = self._known({value for value in hashes.values() if value in self.target})
        with self._source.open_snapshot() as view, view.open_reader() as reader:
            return list(
                settle(
                    self._plan,
                    self._fit(view),
                    hashes,
                    read=reader.read_hashes,
                    stored=lambda part: stored_keys(self._state.store, self._plan, part, handles),
                )
            )

    def _known(self, values: Collection[str | None]) -> dict[str | None, Handle]:
        return dict(zip(values, self.target.handles(list(values)), strict=True))

    def _refused(self, parts: Sequence[Folded | ResolvedConflicts]) -> list[HeldRow]:
        held: list[HeldRow] = []
        seen: Counter[str] = Counter()
        for part in parts:
            refused = next((bad for bad in part.refused if not self._plan.puts_aside(bad.column)), None)
            if refused is not None:
                raise self._refusal(part.source, refused)
            first = {place: bad for bad in reversed(part.refused) for place in bad.rows.tolist()}
            for place, bad in first.items():
                row = part.source.slice(place, 1)
                told = {"column": bad.column, "reason": bad.reason.value, "sentence": bad.sentence}
                held.append(held_row(self._plan, row, **told, name="sync", seen=seen))
        return held

    def _refusal(self, rows: pa.RecordBatch, bad: BadRows) -> DataError:
        row = int(bad.rows[0])
        return DataError(
            f"{self._plan.qualified}: {bad.sentence}, in the changed row with "
            f"{row_key(self._plan, rows.slice(row, 1))}",
            table=self._plan.qualified,
            column=bad.column,
            row=row,
            state="everything committed before that change is stored, and PostgreSQL keeps the rest for the next run",
            next_step="set `on_bad_row: quarantine` for the table and run the same command again: the row is put "
            f"aside, and replayed once it fits; or {new_load_for(self._plan, bad)}",
        )


def _named_for(plan: TablePlan, before: TablePlan, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with the names that their columns have in another plan of the same table."""
    names = {old.source: new.source for old, new in zip(before.columns, plan.columns, strict=True)}
    return rows.rename_columns([names.get(name, name) for name in rows.schema.names])


def _split_column(plan: TablePlan, batch: pa.RecordBatch) -> pa.Array | None:
    return None if plan.split_by is None else batch.column(batch.schema.get_field_index(plan.split_by))
