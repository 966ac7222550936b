"""A quick look: rows, least and greatest key of each container, asked of both sides; no row is read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from gridferry.checkpoint.state import TargetState
from gridferry.compare.value_text import texts
from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.readers import SourceReader
from gridferry.engine.rows.duplicates import REASON, duplicate_blocks
from gridferry.engine.rows.read_check import require_all_read
from gridferry.engine.verify.one_snapshot import Begun
from gridferry.engine.verify.sync_progress import SourceState, SyncWatch
from gridferry.engine.workers import Crew
from gridferry.griddb import GridType
from gridferry.model.verification import STORED_ARE_EQUAL, ContainerVerification, KeyBounds
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.rows.key_bounds import KeySpread
from gridferry.source.postgres.source import PostgresSource

_POLL_S = 0.5
_ASKED = frozenset({GridType.INTEGER, GridType.LONG, GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US})
TEXT_NOTE = "the least and greatest key are not asked for: GridDB has them of times and numbers only"


@dataclass(frozen=True)
class Quick:
    """What a quick look found. `rounds`: how often it looked again, because a sync was under way."""

    containers: list[ContainerVerification]
    snapshot_lsn: str
    snapshot_at: str
    rounds: int
    notes: tuple[str, ...]


class QuickLook:
    """Compares numbers of rows and bounds of keys of one table."""

    def __init__(
        self,
        source: PostgresSource,
        state: TargetState,
        plan: TablePlan,
        *,
        table: str,
        watch: SyncWatch,
        settle_s: float,
        sync: Callable[[], None] | None,
    ) -> None:
        """Args: `table`: as the config names it."""
        self._source = source
        self._table = table
        self._state = state
        self._plan = plan
        self._watch = watch
        self._settle_s = settle_s
        self._sync = sync
        self._bounded = plan.container_schema.columns[0].type in _ASKED

    def first(self, begun: Begun) -> tuple[Quick, bool]:
        """Look, in a snapshot that is held. Returns: what was found, and whether that is all there is to say.

        Raises: any FerryError of either side.
        """
        found = self._look(begun.view)
        quick, sure = self._judged(found, begun.view, begun.mark, still=lambda: begun.is_still, rounds=0)
        return quick, sure or not self._settle_s

    def again(self) -> Quick:
        """Look again, in later snapshots, while a sync may still bring what is missing. Raises: as `first`."""
        deadline = time.monotonic() + self._settle_s
        rounds = 0
        while True:
            rounds += 1
            alone = not self._watch.busy()
            if alone and self._sync is not None:
                self._sync()
            standing = self._watch.standing()
            with self._source.open_snapshot() as view:
                (table,) = view.fetch_tables([self._table])
                view.hold(table)
                mark = self._watch.mark(view)
                found = self._look(view)
            still = partial(self._is_still, alone, standing)
            quick, sure = self._judged(found, view, mark, still=still, rounds=rounds)
            if sure or time.monotonic() >= deadline:
                return quick
            time.sleep(_POLL_S)

    def _is_still(self, alone: bool, standing: object) -> bool:
        return alone and not self._watch.busy() and self._watch.standing() == standing

    def _judged(
        self,
        found: list[ContainerVerification],
        view: PostgresSnapshot,
        mark: SourceState,
        *,
        still: Callable[[], bool],
        rounds: int,
    ) -> tuple[Quick, bool]:
        """What is to be said of it, and whether another look could say something else: then nothing is proven."""
        notes = () if self._bounded else (TEXT_NOTE,)
        equal = all(c.verdict in STORED_ARE_EQUAL for c in found)
        sure = equal or (still() and not self._watch.waits(mark))
        told = found if sure else [_unsettled(c) for c in found]
        return Quick(told, view.snapshot.lsn, view.snapshot.taken_at, rounds, notes), sure

    def _look(self, view: PostgresSnapshot) -> list[ContainerVerification]:
        name = self._plan.container_schema.columns[0].name
        asked = [f'select {function}("{name}")' for function in ("MIN", "MAX")] if self._bounded else []
        containers, groups = self._asked(view, asked)
        spread = {containers.code(s.value): s for s in groups}
        answers = containers.told if self._bounded else {}
        bounds = {code: (_whole(low), _whole(high)) for code, (low, high) in answers.items()}
        held = self._state.quarantine.counts(self._plan.qualified, without_reason=REASON)
        quarantined = Counter({code: held[name] for code, name in enumerate(containers.names)})
        superseded: Counter[int] = Counter()
        chooses = self._plan.on_duplicate is not OnDuplicate.ERROR and not self._plan.numbered
        if chooses and any(containers.counts[code] < s.rows - quarantined[code] for code, s in spread.items()):
            superseded = self._superseded(view, containers)
        if self._plan.on_duplicate is OnDuplicate.QUARANTINE:
            quarantined, superseded = quarantined + superseded, Counter()
        none = KeySpread(None, 0, None, None)
        told = [spread.get(code, none) for code in range(len(containers.names))]
        there = [bounds.get(code, (None, None)) for code in range(len(containers.names))]
        sides = ([s.low for s in told], [s.high for s in told], [low for low, _ in there], [high for _, high in there])
        both = list(zip(*(self._texts(side) for side in sides), strict=True))
        return [
            self._container(
                containers,
                code,
                rows=told[code].rows,
                bounds=KeyBounds(*both[code]),
                quarantined=quarantined[code],
                superseded=superseded[code],
            )
            for code in range(len(containers.names))
        ]

    def _asked(self, view: PostgresSnapshot, also: list[str]) -> tuple[NumberedContainers, list[KeySpread]]:
        """What both sides hold, asked of both at the same time."""
        numbered: list[NumberedContainers] = []
        groups: list[KeySpread] = []

        def ask_source(plan: TablePlan, _: Callable[[], None]) -> None:
            groups.extend(view.fetch_key_spread(plan))
            require_all_read(
                plan,
                counted=view.count_all(plan),
                read=sum(s.rows for s in groups),
                state="nothing is proven, and nothing changed",
            )

        Crew(1).run(
            [self._plan],
            work=ask_source,
            open_worker=lambda: None,
            close_worker=lambda _: None,
            meanwhile=lambda: numbered.append(NumberedContainers(self._state, self._plan, also=also)),
        )
        return numbered[0], groups

    def _container(
        self,
        containers: NumberedContainers,
        code: int,
        *,
        rows: int,
        bounds: KeyBounds,
        quarantined: int,
        superseded: int,
    ) -> ContainerVerification:
        expected, there = rows - quarantined - superseded, containers.counts[code]
        return ContainerVerification(
            name=containers.names[code],
            value=containers.values[code],
            source_rows=rows,
            target_rows=there,
            missing=max(0, expected - there),
            extra=max(0, there - expected),
            quarantined=quarantined,
            superseded=superseded,
            # A row that is not stored may be the first or the last.
            bounds=bounds if self._bounded and not quarantined and not superseded else None,
            note="the container is not there" if containers.opened[code] is None else "",
        )

    def _superseded(self, view: PostgresSnapshot, containers: NumberedContainers) -> Counter[int]:
        """Rows superseded by another one of their key, by container number."""
        losers: Counter[int] = Counter()
        with view.open_reader() as reader:
            for block in duplicate_blocks(reader, self._plan):
                rows = block.rows.take(pa.array(block.losers))
                for _, codes in SourceReader(self._plan, containers).converted([rows]):
                    losers.update(codes.tolist())
        return losers

    def _texts(self, values: list[int | None]) -> list[str | None]:
        """Values of the key's first column as text."""
        kind = self._plan.container_schema.arrow_schema.field(0).type
        numbers = pa.array(values, pa.int64())
        found: list[str | None] = texts(numbers.view(kind) if pa.types.is_timestamp(kind) else numbers).to_pylist()
        return found


def _whole(value: int | float | bool | None) -> int | None:
    return None if value is None else int(value)


def _unsettled(container: ContainerVerification) -> ContainerVerification:
    """One that differs, while it is not known whether that stays so."""
    if container.verdict in STORED_ARE_EQUAL:
        return container
    values = {**container.__dict__, "missing": 0, "extra": 0, "bounds": None}
    return ContainerVerification(**{**values, "unsettled": max(1, container.missing + container.extra)})
