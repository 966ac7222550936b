"""The verification of one table: by value, as of a snapshot of the source, with no false alarm while it is synced."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridferry import numbers
from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.state import TargetState
from gridferry.compare.findings import Findings, FindingsSpool
from gridferry.compare.rules import column_rules
from gridferry.compare.tally import Tally
from gridferry.engine.comparison.containers import NumberedContainers
from gridferry.engine.comparison.full_scan import FullPass
from gridferry.engine.comparison.ranges import cut_table
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.rows.duplicates import REASON
from gridferry.engine.verify.log_keys import LoggedKeys
from gridferry.engine.verify.one_snapshot import Begun
from gridferry.engine.verify.prescan import likely_first
from gridferry.engine.verify.quick import Quick, QuickLook
from gridferry.engine.verify.recheck import Rechecker, RecheckResult
from gridferry.engine.verify.sync_progress import SyncWatch
from gridferry.model.moment import shown
from gridferry.model.table import Table
from gridferry.model.verification import (
    ContainerVerification,
    Depth,
    DifferenceKind,
    DifferentRows,
    TableVerification,
    Verdict,
)
from gridferry.plan.coverage import coverage_of
from gridferry.plan.plan import OnDuplicate, TablePlan
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.plan.watermark import by_value, differences_expected
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.rows.key_rows import KeyLookup
from gridferry.source.postgres.source import PostgresSource

DEFAULT_SETTLE_S = 60.0
ROWS_A_STEP = 20_000
_UNSTORABLE = ("row of the source cannot be stored and is", "rows of the source cannot be stored and are")


@dataclass(frozen=True)
class VerifySettings:
    """How to verify. `settle_s` None: a minute where a sync is under way, no wait where none is."""

    depth: Depth = Depth.FULL
    settle_s: float | None = None
    most_differences: int = 10


@dataclass(frozen=True)
class InDoubt:
    """A table of which something may differ only until it is synced: `settle` looks again, in snapshots of its own."""

    table: str
    settle: Callable[[], TableVerification]


class TableVerifier:
    """Verifies one table.

    `sink` takes every difference, with the length of the row key; `sync` runs a bounded sync of the table, None: it may
    not.
    """

    def __init__(
        self,
        source: PostgresSource,
        state: TargetState,
        options: TableOptions,
        *,
        settings: VerifySettings,
        sink: Callable[[DifferentRows, int], None],
        sync: Callable[[], None] | None,
        listener: Listener,
    ) -> None:
        self._source = source
        self._state = state
        self._options = options
        self._settings = settings
        self._sink = sink
        self._sync = sync
        self._tell = listener

    def run(self, begun: Begun, kept: ExitStack) -> TableVerification | InDoubt:
        """Compare the table in a snapshot that is held. What is in doubt then needs it no more.

        Args: kept: ends when the table is settled. Raises: ConfigError, CheckpointError; any FerryError of either side.
        """
        started, began = utc_now(), time.monotonic()
        if self._settings.depth is Depth.QUICK:
            return self._quick(begun, started, began)
        plan, watch = begun.plan, begun.watch
        containers = NumberedContainers(self._state, plan)
        tally = Tally(key_length=plan.key_length, most_first=self._settings.most_differences)
        doubtful = kept.enter_context(FindingsSpool())
        with FindingsSpool() as candidates:
            full, notes = self._pass(begun.view, plan, begun.table, containers, candidates)
            # Then nothing was to be stored meanwhile, and nothing was: what differs now, differs.
            still = bool(len(candidates)) and begun.is_still
            real = still and not watch.waits(begun.mark)
            keys = watch.waiting_keys(begun.mark, plan) if still and not real else None
            for findings in candidates.parts(ROWS_A_STEP):
                unsure = np.zeros(len(findings), bool) if real else _unsure(findings, keys, plan, containers)
                if not unsure.all():
                    self._real(plan, containers, tally, findings.take(~unsure))
                doubtful.add(findings.take(unsure))
        read_s, snapshot = time.monotonic() - began, begun.view.snapshot

        def settle() -> TableVerification:
            again = time.monotonic()
            settled = RecheckResult()
            if len(doubtful):
                settled = self._settler(plan, begun.table, containers, watch, tally).run(doubtful)
            found = TableVerification(
                table=plan.qualified,
                depth=Depth.FULL,
                started=started,
                seconds=read_s + time.monotonic() - again,
                snapshot_lsn=snapshot.lsn,
                snapshot_at=snapshot.taken_at,
                snapshot_visible=snapshot.visible,
                snapshot_origin=snapshot.origin,
                rules=column_rules(plan),
                rounds=settled.rounds,
                notes=(*notes, *_set_apart(begun), *self._notes(begun.table, containers, watch)),
                covered=coverage_of(plan, table=begun.table, options=self._options),
            )
            return self._report(found, plan, containers, full=full, tally=tally, settled=settled)

        return settle() if not len(doubtful) else InDoubt(plan.qualified, settle)

    def _pass(
        self,
        view: PostgresSnapshot,
        plan: TablePlan,
        table: Table,
        containers: NumberedContainers,
        candidates: FindingsSpool,
    ) -> tuple[FullPass, list[str]]:
        cut = cut_table(view, plan, table, containers)
        if cut.warning:
            self._tell(Note(plan.qualified, cut.warning, Level.WARNING))
        parts, first = likely_first(view, self._state.store, plan, cut=cut, containers=containers)
        if first:
            self._tell(Note(plan.qualified, first, Level.WARNING))
        cut = replace(cut, parts=parts)
        full = FullPass(
            self._state, plan, view, containers=containers, cut=cut, found=candidates.add, listener=self._tell
        )
        full.run(table)
        return full, [note for note in (cut.warning, first) if note]

    def _settler(
        self, plan: TablePlan, table: Table, containers: NumberedContainers, watch: SyncWatch, tally: Tally
    ) -> Rechecker:
        return Rechecker(
            self._source,
            self._state.store,
            plan,
            containers,
            lookup=KeyLookup.of(table),
            watch=watch,
            settle_s=self._patience(watch),
            sync=self._sync,
            real=lambda findings: self._real(plan, containers, tally, findings),
        )

    def _patience(self, watch: SyncWatch) -> float:
        if self._settings.settle_s is not None:
            return self._settings.settle_s
        return DEFAULT_SETTLE_S if self._sync is not None or watch.busy() else 0.0

    def _quick(self, begun: Begun, started: str, began: float) -> TableVerification | InDoubt:
        look = QuickLook(
            self._source,
            self._state,
            begun.plan,
            table=self._options.table,
            watch=begun.watch,
            settle_s=self._patience(begun.watch),
            sync=self._sync,
        )
        first, sure = look.first(begun)
        read_s = time.monotonic() - began

        def told(quick: Quick, seconds: float) -> TableVerification:
            found = TableVerification(
                table=begun.plan.qualified,
                depth=Depth.QUICK,
                started=started,
                seconds=seconds,
                snapshot_lsn=quick.snapshot_lsn,
                snapshot_at=quick.snapshot_at,
                source_rows=sum(c.source_rows for c in quick.containers),
                target_rows=sum(c.target_rows for c in quick.containers),
                rounds=quick.rounds,
                notes=(*quick.notes, *_set_apart(begun)),
                covered=coverage_of(begun.plan, table=begun.table, options=self._options),
            )
            return summed(found, sorted(quick.containers, key=lambda c: (c.verdict is Verdict.EQUAL, c.name)))

        def settle() -> TableVerification:
            again = time.monotonic()
            quick = look.again()
            return told(quick, read_s + time.monotonic() - again)

        return told(first, read_s) if sure else InDoubt(begun.plan.qualified, settle)

    def _real(self, plan: TablePlan, containers: NumberedContainers, tally: Tally, findings: Findings) -> None:
        """Tell of rows that are proven to differ."""
        for rows in findings.rows(plan.qualified, containers.names, containers.values):
            tally.add(rows)
            self._sink(rows, plan.key_length)

    def _notes(self, table: Table, containers: NumberedContainers, watch: SyncWatch) -> list[str]:
        notes = []
        missing = containers.missing
        if missing:
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            notes.append(f"containers are not there: {shown}")
        if watch.mode is SyncMode.WATERMARK:
            notes.append(differences_expected(self._options))
            if table.elsewhere:
                notes.append(by_value(table))
        return notes

    def _report(
        self,
        found: TableVerification,
        plan: TablePlan,
        containers: NumberedContainers,
        *,
        full: FullPass,
        tally: Tally,
        settled: RecheckResult,
    ) -> TableVerification:
        held = self._state.quarantine.counts(plan.qualified, without_reason=REASON)
        each: list[ContainerVerification] = []
        notes = list(found.notes)
        to_quarantine = plan.on_duplicate is OnDuplicate.QUARANTINE
        for code, (name, value) in enumerate(zip(containers.names, containers.values, strict=True)):
            kinds = tally.by_container.get(name, Counter())
            unfit, gave_way = full.source.unfit[code], full.passed.superseded[code]
            lost = max(0, unfit - held[name])
            if lost:
                one, more = _UNSTORABLE
                notes.append(f"{name}: {numbers.plural(lost, one, more=more)} not in the quarantine")
            each.append(
                ContainerVerification(
                    name=name,
                    value=value,
                    source_rows=full.source.read[code],
                    target_rows=full.target.read[code],
                    equal_rows=_equal_rows(code, full, kinds, settled),
                    missing=kinds[DifferenceKind.MISSING] + lost,
                    extra=kinds[DifferenceKind.EXTRA],
                    different=kinds[DifferenceKind.DIFFERENT],
                    doubled=kinds[DifferenceKind.DOUBLED],
                    quarantined=unfit - lost + (gave_way if to_quarantine else 0),
                    superseded=0 if to_quarantine else gave_way,
                    unsettled=settled.unsettled[code],
                    note="the container is not there" if containers.opened[code] is None else "",
                )
            )
        each.sort(key=lambda c: (c.verdict is Verdict.EQUAL, c.name))
        return replace(
            summed(found, each),
            source_rows=full.source.rows,
            target_rows=full.target.rows,
            source_bytes=full.source.octets,
            target_bytes=full.target.octets,
            summary=tally.summary,
            first=tally.first,
            notes=tuple(notes),
        )


def _set_apart(begun: Begun) -> Iterator[str]:
    """That no sync goes on with the table, whatever was found of it."""
    failure = begun.failure
    if failure is not None and not failure.try_again:
        yield (
            f"set apart since {shown(failure.since)} UTC: {failure.message}; gridferry resync {begun.options.table} "
            "brings it back"
        )


def _unsure(
    findings: Findings, keys: LoggedKeys | None, plan: TablePlan, containers: NumberedContainers
) -> NDArray[np.bool_]:
    """(n,): which of these a change that is still to be stored may explain; all of them where `keys` is not known."""
    if keys is None:
        return np.ones(len(findings), bool)
    return keys.among(findings.keys(plan.key_length), [containers.values[code] for code in findings.codes.tolist()])


def _equal_rows(code: int, full: FullPass, kinds: Counter[DifferenceKind], settled: RecheckResult) -> int:
    """Rows of one container found equal: in the pass, or when they were looked at again."""
    still = kinds.total() - kinds[DifferenceKind.EXTRA] + settled.unsettled[code] - settled.extra[code]
    return full.passed.equal[code] + full.passed.candidates[code] - still


def summed(found: TableVerification, containers: list[ContainerVerification]) -> TableVerification:
    """The table's verification with its containers, and their numbers added up."""
    order = list(Verdict)
    return replace(
        found,
        containers=tuple(containers),
        containers_total=len(containers),
        missing=sum(c.missing for c in containers),
        extra=sum(c.extra for c in containers),
        different=sum(c.different for c in containers),
        doubled=sum(c.doubled for c in containers),
        quarantined=sum(c.quarantined for c in containers),
        superseded=sum(c.superseded for c in containers),
        unsettled=sum(c.unsettled for c in containers),
        verdict=max((c.verdict for c in containers), key=order.index, default=Verdict.EQUAL),
    )
