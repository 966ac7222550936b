"""Decoders of what gridferry keeps in the target, given what no gridferry wrote: a record, or a CheckpointError.

Documents that real stores wrote are changed as bytes and as JSON. A bounded run in `make test`, as the others here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pytest
from tests.fuzz.hostile_json import changed
from tests.fuzz.mutating import mutated, rounds, survive
from tests.unit.checkpoint.documents_fake import FakeDocuments
from tests.unit.checkpoint.test_cursors import RECORD as CURSOR
from tests.unit.checkpoint.test_history import sample
from tests.unit.checkpoint.test_origins import ORIGIN
from tests.unit.checkpoint.test_positions import RECORD as POSITION
from tests.unit.checkpoint.test_registry import ONE
from tests.unit.checkpoint.test_runs import PLAN, RUN, TABLE
from tests.unit.report.samples import EQUAL

from gridferry.checkpoint import journal, quarantine
from gridferry.checkpoint.cursors import CursorStore
from gridferry.checkpoint.documents import read_document, utc_now
from gridferry.checkpoint.history import HistoryStore
from gridferry.checkpoint.lease import LeaseHolder, holder_of
from gridferry.checkpoint.origins import OriginRecord, OriginStore
from gridferry.checkpoint.positions import PositionStore
from gridferry.checkpoint.registry import Registry
from gridferry.checkpoint.repairs import RepairStore
from gridferry.checkpoint.runs import ChunkRecord, RunStore
from gridferry.checkpoint.sync_failures import SyncFailureStore
from gridferry.checkpoint.tallies import TallyStore
from gridferry.checkpoint.verifications import VerificationStore
from gridferry.errors import CheckpointError
from gridferry.model.repair import RowChange
from gridferry.model.sync_failure import sync_failure
from gridferry.model.verification import DifferenceKind
from gridferry.plan.plan import Plan


class Documents(FakeDocuments):
    """The fake, which reads bodies as `DocumentStore` does."""

    def get(self, scope: str, item: str) -> dict[str, Any] | None:
        body = self.state.rows.get((scope, item))
        return None if body is None else read_document(body, scope, item)

    def get_many(self, scope: str, items: Sequence[str]) -> dict[str, dict[str, Any]]:
        """As `DocumentStore.get_many`."""
        return {item: body for item, body in self.items(scope).items() if item in items}

    def items(self, scope: str) -> dict[str, dict[str, Any]]:
        return {i: read_document(body, s, i) for (s, i), body in self.state.rows.items() if s == scope}


def _loads(documents: Any) -> Callable[[], object]:
    runs = RunStore(documents)
    runs.begin(RUN, before=None)
    runs.chunk_done(TABLE, ChunkRecord(0, 100, 3))
    return lambda: (runs.get(TABLE), runs.all(), list(runs.each()), runs.tables())


def _migrations(documents: Any) -> Callable[[], object]:
    registry = Registry(documents)
    entry = registry.begin(registry.proposed("shop", ONE))
    return lambda: (registry.all(), registry.get(entry.key), registry.find("", ONE))


def _origins(documents: Any) -> Callable[[], object]:
    origins = OriginStore(documents)
    origins.save(OriginRecord(TABLE, ORIGIN, taking_over=True))
    return lambda: origins.get(TABLE)


def _cursors(documents: Any) -> Callable[[], object]:
    cursors = CursorStore(documents)
    cursors.save(CURSOR)
    cursors.save_max_values(CURSOR.table, {"t_a": 1704067200000, "t_b": 2.5})
    return lambda: (cursors.get(CURSOR.table), cursors.mode_of(CURSOR.table), cursors.max_values(CURSOR.table))


def _positions(documents: Any) -> Callable[[], object]:
    positions = PositionStore(documents)
    positions.save(POSITION)
    return lambda: (positions.get(POSITION.table), positions.mode_of(POSITION.table))


def _tallies(documents: Any) -> Callable[[], object]:
    tallies = TallyStore(documents)
    tallies.add(TABLE, {"t_a": (5, 1), "t_b": (0, 2)})
    return lambda: tallies.all(TABLE)


def _verifications(documents: Any) -> Callable[[], object]:
    verifications = VerificationStore(documents)
    verifications.add(EQUAL)
    table = EQUAL.table
    return lambda: (verifications.readable(table), verifications.last(table), verifications.of(table))


def _history(documents: Any) -> Callable[[], object]:
    history = HistoryStore(documents)
    history.add(TABLE, sample(1, read=3, runs=1))
    history.add(TABLE, sample(2, written=4))
    return lambda: history.get(TABLE)


def _failures(documents: Any) -> Callable[[], object]:
    failures = SyncFailureStore(documents)
    failures.met(TABLE, sync_failure(CheckpointError("broken", state="left", next_step="mend"), now=utc_now()))
    return lambda: failures.get(TABLE)


def _repairs(documents: Any) -> Callable[[], object]:
    repairs = RepairStore(documents)
    record = repairs.finish(repairs.begin(TABLE, by="me", loaded="2026-01-01T00:00:00Z", noted={"fresh": ["b"]}))
    return lambda: (repairs.get(record.run), repairs.all(), repairs.parts(record.run))


def _leases(documents: Any) -> Callable[[], object]:
    documents.put(f"lease:{TABLE}", {"": asdict(LeaseHolder("elsewhere", 77, "123"))})
    return lambda: holder_of(documents, TABLE)


STORES = {
    "loads": _loads,
    "migrations": _migrations,
    "origins": _origins,
    "cursors": _cursors,
    "positions": _positions,
    "tallies": _tallies,
    "verifications": _verifications,
    "history": _history,
    "failures": _failures,
    "repairs": _repairs,
    "leases": _leases,
}


def hostile(body: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """A document's bytes, changed as bytes or as JSON."""
    if chance.random() < 0.3:
        return mutated([body, *others], chance)
    document = json.loads(body)
    for _ in range(chance.randint(1, 3)):
        if document:
            document = changed(document, chance)
    return json.dumps(document).encode()


@pytest.mark.parametrize("name", STORES)
def test_documents(name: str) -> None:
    documents = Documents()
    read = STORES[name](documents)
    honest = dict(documents.state.rows)
    read()
    refused = 0
    for chance in rounds(seed=len(name)):
        place = chance.choice(list(honest))
        bad = hostile(honest[place], list(honest.values()), chance)

        def decode(data: bytes, place: tuple[str, str] = place) -> None:
            documents.state.rows = {**honest, place: data}
            read()

        refused += not survive(decode, bad, refused=(CheckpointError,))
    assert refused


def test_plans() -> None:
    honest = json.dumps(Plan((PLAN,)).to_json()).encode()

    def decode(data: bytes) -> None:
        Plan.from_json(read_document(data, "plan", ""))

    decode(honest)
    for chance in rounds(seed=1):
        survive(decode, hostile(honest, [], chance), refused=(CheckpointError,))


ROW = pa.record_batch({"k": [1], "note": ["x"]})


def _journaled() -> dict[str, Any]:
    change = RowChange("t", None, DifferenceKind.DIFFERENT, ROW, ROW)
    parts = [[change.container, change.value, change.kind.value, len(change)]]
    octets = journal._ipc([ROW])
    return {"run": "r", "entry": 0, "parts": json.dumps(parts), "row_before": octets, "row_after": octets}


def _put_aside() -> dict[str, Any]:
    names = ("source_table", "id", "container", "column_name", "reason", "sentence", "row_key")
    return {**dict.fromkeys(names, "t"), "source_row": quarantine.row_bytes(ROW), "created_at": None}


ROWS: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], object]]] = {
    "journal": (_journaled(), journal._changes),
    "quarantine": (_put_aside(), quarantine._held),
}


def _fields(row: dict[str, Any], chance: random.Random) -> Iterator[tuple[str, Any]]:
    """One field of a row with another value of its column's type, or with none."""
    name = chance.choice([name for name in row if name not in ("run", "entry", "created_at")])
    value = row[name]
    if chance.random() < 0.1:
        yield name, None
    elif isinstance(value, bytes):
        yield name, mutated([value], chance)
    elif name == "parts":
        yield name, hostile(value.encode(), [], chance).decode(errors="replace")
    else:
        yield name, mutated([value.encode()], chance).decode(errors="replace")


@pytest.mark.parametrize("name", ROWS)
def test_rows(name: str) -> None:
    row, read = ROWS[name]
    read(row)
    for chance in rounds(seed=2):
        for field, value in _fields(row, chance):
            shown = value if isinstance(value, bytes) else repr(value).encode()

            def decode(_: bytes, field: str = field, value: Any = value) -> None:
                read({**row, field: value})

            survive(decode, shown, refused=(CheckpointError,))
