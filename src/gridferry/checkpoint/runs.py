"""A table's load as it is remembered: the plan, the snapshot, the chunks, and which of them are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

from gridferry.checkpoint.documents import DocumentStore, utc_now
from gridferry.errors import CheckpointError
from gridferry.model.chunk import Chunk, Snapshot
from gridferry.model.decoding import Malformed, decoded, readable, require_version
from gridferry.model.forms import Count, LsnText, Moment, OptionsText, Sentence, SlotName
from gridferry.model.position import Lsn
from gridferry.plan.plan import TablePlan, table_to_json
from gridferry.plan.stored import inconsistency

RUN_VERSION = 2
_RUN = "run"
_CHUNK = "chunk:"
ALL_LOADS = "load:"  # before the table in the scopes of loads


class RunState(str, Enum):
    """How far a load is. Allowed moves: see `MOVES`."""

    REPLACING = "replacing"  # containers of an earlier load are being dropped, as --replace asked
    LOADING = "loading"
    LOADED = "loaded"


MOVES: dict[RunState | None, frozenset[RunState]] = {
    None: frozenset({RunState.REPLACING, RunState.LOADING}),
    RunState.REPLACING: frozenset({RunState.REPLACING, RunState.LOADING}),
    RunState.LOADING: frozenset({RunState.LOADING, RunState.LOADED, RunState.REPLACING}),
    RunState.LOADED: frozenset({RunState.REPLACING}),
}


@dataclass(frozen=True)
class ChunkRecord:
    """A finished chunk: rows that were read and stored, and rows that were quarantined."""

    number: Count
    rows: Count
    quarantined: Count


@dataclass(frozen=True)
class CopyFigures:
    """What the run that finished a load copied, in how many seconds, with how many workers.

    Fewer `rows` than the load has: earlier runs had copied the others, and were interrupted.
    """

    rows: Count
    octets: Count
    seconds: float
    workers: Count


@dataclass(frozen=True)
class LoadRun:
    """The load of one table. `finished` are numbers of chunks that need no second read."""

    table: str
    state: RunState
    plan: TablePlan | None = None
    snapshot: Snapshot | None = None
    chunks: tuple[Chunk, ...] = ()
    started_at: Moment = ""
    finished_at: Moment = ""
    rows: Count = 0
    notes: tuple[Sentence, ...] = ()
    options: OptionsText = ""  # those that it was planned with: see `plan.drift.fingerprint`
    slot: SlotName = ""  # mode cdc: the replication slot that was made before the first row was read
    start: LsnText = ""  # mode cdc: where its stream begins
    spare: SlotName = ""  # the slot of a load that is to take this one's place, and has not begun
    copied: CopyFigures | None = None
    finished: dict[int, ChunkRecord] = field(default_factory=dict)


class RunStore:
    """Loads in the state container."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def get(self, table: str) -> LoadRun | None:
        """A table's load, or None. Raises: CheckpointError for a state of another version or one that is broken."""
        items = self._documents.items(_scope(table))
        return _from_items(table, items) if items else None

    def slots(self, tables: Sequence[str], *, loaded: bool = False) -> dict[str, str]:
        """The slot that each of these tables is followed by, "" for none; asked for at once, and not looked at
        further: what is broken is told by `get`.

        Args: loaded: "" also for a load that is not finished: nobody follows it yet.
        """
        found = self._documents.get_each([_scope(table) for table in tables], _RUN, skip_broken=True)
        slots = {
            scope.removeprefix(_scope("")): document.get("slot")
            for scope, document in found.items()
            if not loaded or document.get("state") == RunState.LOADED.value
        }
        return {table: slot if isinstance(slot := slots.get(table), str) else "" for table in tables}

    def finished(self, tables: Sequence[str]) -> set[str]:
        """Those of some tables that seem to be loaded; asked for at once, and not looked at further, as `slots`."""
        found = self._documents.get_each([_scope(table) for table in tables], _RUN, skip_broken=True)
        done = {scope for scope, document in found.items() if document.get("state") == RunState.LOADED.value}
        return {table for table in tables if _scope(table) in done}

    def all(self) -> list[LoadRun]:
        """Every table's load, by table."""
        found = self._documents.scopes(_scope(""))
        return [_from_items(scope[len(_scope("")) :], items) for scope, items in sorted(found.items())]

    def tables(self) -> list[str]:
        """The tables that have a load, readable or not."""
        return sorted(scope[len(_scope("")) :] for scope in self._documents.scopes(_scope("")))

    def places(self) -> dict[str, tuple[str, str] | None]:
        """The schema and the name of every table that has a load, by table; None where its plan does not say.

        Nothing else of the loads is looked at: what is broken is told by `get`.
        """
        found = self._documents.scopes(_scope(""))
        return {
            table: _place(table, items) for scope, items in sorted(found.items()) if (table := scope[len(_scope("")) :])
        }

    def each(self) -> Iterator[tuple[str, LoadRun | CheckpointError]]:
        """Every table with its load, or with why that is not readable; by table."""
        for scope, items in sorted(self._documents.scopes(_scope("")).items()):
            table = scope[len(_scope("")) :]
            try:
                yield table, _from_items(table, items)
            except CheckpointError as error:
                yield table, error

    def forget(self, table: str) -> None:
        """Delete all that is written of a table's load, readable or not."""
        self._documents.delete_scope(_scope(table))

    def begin(self, run: LoadRun, *, before: LoadRun | None) -> LoadRun:
        """Write a load that begins, or takes the place of `before`. Raises: CheckpointError for a move not allowed."""
        _check_move(before, run.state)
        if before is not None and run.state is not RunState.REPLACING:
            # Not while the load before may still be restored.
            items = self._documents.items(_scope(run.table))
            self._documents.delete(_scope(run.table), [item for item in items if item.startswith(_CHUNK)])
        begun = replace(run, started_at=run.started_at or utc_now(), finished={})
        self._write(begun)
        return begun

    def resume(self, run: LoadRun, *, snapshot: Snapshot, chunks: Iterable[Chunk], dropped: Iterable[int]) -> LoadRun:
        """Write that a load goes on under a new snapshot: `chunks` are all that are to be or were read."""
        self._documents.delete(_scope(run.table), [_chunk_item(n) for n in dropped])
        gone = set(dropped)
        finished = {n: record for n, record in run.finished.items() if n not in gone}
        resumed = replace(run, snapshot=snapshot, chunks=tuple(chunks), finished=finished)
        self._write(resumed)
        return resumed

    def chunk_done(self, table: str, record: ChunkRecord) -> None:
        """Write that a chunk is done. Only after its rows were flushed."""
        self._documents.put(_scope(table), {_chunk_item(record.number): {**asdict(record), "at": utc_now()}})

    def loaded(
        self, run: LoadRun, *, rows: int, notes: tuple[str, ...] = (), copied: CopyFigures | None = None
    ) -> LoadRun:
        """Write that a load is complete and checked."""
        _check_move(run, RunState.LOADED)
        done = replace(run, state=RunState.LOADED, finished_at=utc_now(), rows=rows, notes=notes, copied=copied)
        self._write(done)
        return done

    def replan(self, run: LoadRun, plan: TablePlan) -> LoadRun:
        """Write that the table's containers have more columns now. Only after they have them."""
        return self._rewrite(replace(run, plan=plan))

    def with_slot(self, run: LoadRun, slot: str, *, start: Lsn) -> LoadRun:
        """Write which slot follows the table from now on. Before it is made: one that nobody knows of keeps log."""
        return self._rewrite(replace(run, slot=slot, start=str(start)))

    def joined(self, run: LoadRun, slot: str) -> LoadRun:
        """Write that another slot follows the table from now on, and that its own is to be dropped."""
        return self._rewrite(replace(run, slot=slot, spare=run.slot))

    def without_slot(self, run: LoadRun) -> LoadRun:
        """Write that the load's replication slot was dropped."""
        return self._rewrite(replace(run, slot="", start="", spare=""))

    def with_spare(self, run: LoadRun, slot: str) -> LoadRun:
        """Write that a slot is being made for a load that is to take this one's place."""
        return self._rewrite(replace(run, spare=slot))

    def without_spare(self, run: LoadRun) -> LoadRun:
        """Write that there is no such slot any more."""
        return self._rewrite(replace(run, spare=""))

    def restore(self, run: LoadRun) -> LoadRun:
        """Write that a load is as it was: the one that was to take its place dropped nothing."""
        return self._rewrite(run)

    def _rewrite(self, run: LoadRun) -> LoadRun:
        self._write(run)
        return run

    def _write(self, run: LoadRun) -> None:
        document: dict[str, Any] = {
            "version": RUN_VERSION,
            "state": run.state.value,
            "plan": None if run.plan is None else table_to_json(run.plan),
            "snapshot": None if run.snapshot is None else asdict(run.snapshot),
            "chunks": [asdict(chunk) for chunk in run.chunks],
            "started_at": run.started_at,
            "finished_at": run.finished_at,
            "rows": run.rows,
            "notes": list(run.notes),
            "options": run.options,
            "slot": run.slot,
            "start": run.start,
            "spare": run.spare,
            "copied": None if run.copied is None else asdict(run.copied),
        }
        self._documents.put(_scope(run.table), {_RUN: document})


def _scope(table: str) -> str:
    return f"{ALL_LOADS}{table}"


def _place(table: str, items: dict[str, dict[str, Any]]) -> tuple[str, str] | None:
    plan = items.get(_RUN, {}).get("plan")
    schema, name = (plan.get("schema"), plan.get("table")) if isinstance(plan, dict) else (None, None)
    if isinstance(schema, str) and isinstance(name, str) and schema and name and f"{schema}.{name}" == table:
        return schema, name
    return None


def _chunk_item(number: int) -> str:
    return f"{_CHUNK}{number:09d}"


def _check_move(before: LoadRun | None, after: RunState) -> None:
    now = None if before is None else before.state
    if after not in MOVES[now]:
        raise CheckpointError(f"a load that is {now.value if now else 'not begun'} cannot become {after.value}")


def _from_items(table: str, items: dict[str, dict[str, Any]]) -> LoadRun:
    document = items.get(_RUN)
    if document is None:
        raise CheckpointError(f"the state of {table} has chunks but no load", next_step="load it again with --replace")
    broken = f"load {table} again with --replace"
    fields = require_version(
        document,
        RUN_VERSION,
        what=f"the state of {table}",
        next_step=f"use the gridferry that wrote it, or {broken}",
    )

    def decode() -> LoadRun:
        # Where a load is being replaced, those of the one before may still be there.
        replacing = fields.get("state") == RunState.REPLACING.value
        finished = {} if replacing else dict(_finished(item, items[item]) for item in items if item != _RUN)
        run = decoded(LoadRun, fields, table=table, finished=finished)
        numbers = [chunk.number for chunk in run.chunks]
        if len(set(numbers)) < len(numbers):
            raise Malformed("chunks", "have a number twice")
        if not finished.keys() <= set(numbers):
            raise Malformed(_CHUNK, "is about a chunk that the load does not have")
        if run.plan is not None and run.plan.qualified != table:
            raise Malformed("plan.table", "is another one")
        wrong = "" if run.plan is None else inconsistency(run.plan)
        if wrong:
            raise Malformed("plan", wrong)
        if run.state is not RunState.REPLACING and (run.plan is None or run.snapshot is None):
            raise Malformed("plan" if run.plan is None else "snapshot", "is missing")
        return run

    return readable(f"the state of {table} (scope {_scope(table)})", decode, next_step=broken)


def _finished(item: str, document: dict[str, Any]) -> tuple[int, ChunkRecord]:
    values = dict(document)
    written = values.pop("at", None)
    if not isinstance(written, str):
        raise Malformed(f"{item}.at", "is missing")
    try:
        record = decoded(ChunkRecord, values)
    except Malformed as error:
        raise Malformed(f"{item}.{error}", "") from None
    if item != _chunk_item(record.number):
        raise Malformed(item, f"is about chunk {record.number}")
    return record.number, record
