"""From a migration to the facts of a report: what the target's state says, and both sides counted as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from gridferry import __version__
from gridferry.checkpoint.documents import utc_now
from gridferry.checkpoint.history import Sample
from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.each_table import try_each
from gridferry.engine.migration import Migration
from gridferry.engine.ownership.lineage import check_origin
from gridferry.engine.scope import other_tables
from gridferry.engine.standing import QuarantinedRow, TableStatus
from gridferry.errors import CheckpointError, FerryError, OtherSource, OtherTable, SourceError, StatementError
from gridferry.model.coverage import Coverage
from gridferry.model.failed_tables import worst
from gridferry.model.outcomes import LoadState
from gridferry.model.over_time import GroupBounds
from gridferry.model.verification import TableVerification, Verdict
from gridferry.plan.coverage import coverage_of
from gridferry.plan.names import container_name
from gridferry.plan.plan import TablePlan
from gridferry.plan.stored import require_agrees
from gridferry.plan.table_options import TableOptions
from gridferry.report.advice import next_steps
from gridferry.report.counting import Bounded, bounded_column, count_target, rows_over_time, span_of
from gridferry.report.database import report_headline, snapshots_of
from gridferry.report.facts import (
    FACTS_VERSION,
    ColumnFacts,
    ContainerFacts,
    FindingFacts,
    LoadFacts,
    PlanFacts,
    QuarantineFacts,
    ReportFacts,
    RowsOverTime,
    TableFacts,
)
from gridferry.report.failures import REPORT, failure_facts, not_looked_at, untold
from gridferry.report.verdicts import table_headline, with_rows
from gridferry.source.postgres.one_snapshot import PostgresSnapshot

MOST_SERIES = 24  # containers with a chart of their own; those that differ come first
MOST_HELD_ROWS = 100


def gather_facts(migration: Migration, tables: Sequence[str] = (), *, ask_source: bool = True) -> ReportFacts:
    """The facts about tables of the config, all of them without names. Changes nothing.

    Where the source is away, or `ask_source` is False, the facts are those that the target knows, and say so. A table
    that cannot be read is there with its failure, and the others are reported.
    Raises: ConfigError for a table that is not in the config; an error that concerns all tables (GridDBError where the
        target is away) if no table could be reported before it.
    """
    chosen = migration.endpoints.known(tables, ask_source=ask_source)
    with ExitStack() as stack:
        view, note = None, "" if ask_source else "PostgreSQL was not asked, as wished: its side is left out."
        if ask_source:
            try:
                view = stack.enter_context(migration.endpoints.source.open_snapshot())
            except SourceError as error:
                note = f"PostgreSQL was not reached, so its side is left out: {error.message}."
        found = _told(migration, chosen, view)
        return ReportFacts(
            version=FACTS_VERSION,
            gridferry=__version__,
            made_at=utc_now(),
            source=migration.endpoints.source.display,
            target=str(migration.endpoints.config.target),
            headline=report_headline(found),
            tables=found,
            source_note=note,
            counted_at=view.snapshot.taken_at if view is not None else "",
            others=other_tables(view, migration.endpoints.known()) if view is not None else (),
            snapshots=snapshots_of(found),
            exit_code=worst(table.failure.exit_code for table in found if table.failure is not None),
        )


def _told(
    migration: Migration, chosen: Sequence[TableOptions], view: PostgresSnapshot | None
) -> tuple[TableFacts, ...]:
    """Every table in the order of the config, whatever became of the others."""
    tried = try_each(chosen, lambda o: _Table(migration, o, view).facts(), name=lambda o: o.qualified, doing=REPORT)
    ended = next((each.error for each in tried.failures if each.error.concerns_all), None)
    if ended is not None and not tried.done:
        raise ended
    found = {facts.table: facts for facts in tried.done}
    for each in tried.failures:
        migration.endpoints.session.complete_advice(each.error, each.table)
        found[each.table] = untold(each.table, each.error)
    if ended is not None:
        found |= {name: not_looked_at(name, ended) for name in tried.not_tried}
    return tuple(found[options.qualified] for options in chosen)


class _Table:
    """Gathers the facts about one table. What cannot be known becomes a note; the rest is reported."""

    def __init__(self, migration: Migration, options: TableOptions, view: PostgresSnapshot | None) -> None:
        self._migration = migration
        self._options = options
        self._view = view
        self._name = f"{options.schema_name}.{options.table_name}"
        self._notes: list[str] = []
        self._failures: list[FerryError] = []

    def facts(self) -> TableFacts:
        """All facts about the table. Raises: FerryError where not even its load can be read."""
        found = self._found()
        if not self._failures:
            return found
        worst_of_all = worst(error.exit_code for error in self._failures)
        first = next(error for error in self._failures if error.exit_code == worst_of_all)
        return replace(found, failure=failure_facts(first, nothing_told=False))

    def _leave_out(self, what: str, error: FerryError) -> None:
        """Go on without a part of the facts. Raises: `error` where it concerns all tables alike."""
        if error.concerns_all:
            raise error
        self._notes.append(f"{what}: {error.message}.")
        self._failures.append(error)

    def _found(self) -> TableFacts:
        run = self._migration.endpoints.look_at_state().runs.get(self._name)
        self._leave_other_source(run)
        status = self._status()
        load = load_facts(status, run)
        verifications = self._verifications()
        if run is None or run.plan is None:
            notes = (*self._notes, *status.notes)
            return TableFacts(self._name, table_headline(load, verifications), load, notes=notes)
        try:
            plan = require_agrees(run.plan, self._options, left="")
            held = self._migration.status.quarantine([self._options.table])
        except CheckpointError as error:
            self._leave_out("Its containers and its quarantine are left out", error)
            headline = table_headline(load, verifications)
            return TableFacts(self._name, headline, load, notes=tuple(self._notes))
        covered = self._coverage(plan)
        headline = table_headline(load, verifications, covered, held=len(held))
        bounded = bounded_column(plan)
        try:
            containers, over_time = self._containers(plan, bounded, verifications, held)
        except StatementError as error:
            self._leave_out("GridDB did not count its containers", error)
            containers, over_time = (), None
        return TableFacts(
            table=self._name,
            headline=headline,
            load=load,
            plan=_plan(plan),
            sync=status.sync,
            history=self._history(),
            verifications=verifications,
            bounded_by=bounded.column.target.name if bounded is not None else "",
            containers=containers,
            over_time=over_time,
            quarantine=_quarantine(held),
            notes=tuple(self._notes),
            next_steps=next_steps(verifications[0] if verifications else None, status.sync, len(held), covered),
            coverage=with_rows(covered, verifications[0] if verifications else None),
        )

    def _coverage(self, plan: TablePlan) -> Coverage:
        """The columns that the target has: of those of now, where the source has them."""
        table = None
        if self._view is not None:
            try:
                with self._view.apart():
                    (table,) = self._view.fetch_tables([self._options.table])
            except SourceError as error:
                self._leave_out("The columns that PostgreSQL has now are not known", error)
        return coverage_of(plan, table=table, options=self._options)

    def _leave_other_source(self, run: LoadRun | None) -> None:
        """Ask a source nothing that is not the one that the table is from: its numbers would be compared."""
        if run is None or run.plan is None or self._view is None:
            return
        try:
            with self._view.apart():
                state = self._migration.endpoints.look_at_state()
                check_origin(state, self._view, self._options, run, left="nothing was changed")
        except OtherSource as error:
            if isinstance(error, OtherTable):
                self._failures.append(error)
            self._view = None
            self._notes.append(f"{error.message}. Next: {error.next_step}.")
        except SourceError:
            return  # whatever is asked next says so

    def _status(self) -> TableStatus:
        """As `gridferry status` has it; without the source's word where it cannot be had."""
        table = [self._options.table]
        if self._view is not None:
            try:
                return self._migration.status.tables(table)[0]
            except FerryError as error:
                self._leave_out("What waits in PostgreSQL is not known", error)
        return self._migration.status.tables(table, ask_source=False)[0]

    def _history(self) -> tuple[Sample, ...]:
        try:
            return self._migration.endpoints.look_at_state().history.get(self._name)
        except CheckpointError as error:
            self._leave_out("The history of its runs is left out", error)
            return ()

    def _verifications(self) -> tuple[TableVerification, ...]:
        try:
            return tuple(self._migration.endpoints.look_at_state().verifications.of(self._name))
        except CheckpointError as error:
            self._leave_out("Its verifications are left out", error)
            return ()

    def _containers(
        self,
        plan: TablePlan,
        bounded: Bounded | None,
        verifications: Sequence[TableVerification],
        held: Sequence[QuarantinedRow],
    ) -> tuple[tuple[ContainerFacts, ...], RowsOverTime | None]:
        """The containers, those that differ first, then by rows; and rows over time of the first of them."""
        state = self._migration.endpoints.look_at_state()
        names = {e.value: e.container for e in state.catalog.entries(self._name)}
        opened, target = count_target(state.store, list(names.values()), bounded)
        source = self._source_bounds(plan, bounded)
        # A device that is not synced yet has no container, but rows.
        names |= {value: container_name(plan, value) for value in source or {} if value not in names}
        judged = LastVerdicts(verifications, len(names))
        aside = Counter(row.container for row in held)
        facts = [
            judged.judge(_container(name, value, bounded, source=source, target=target, held=aside[name]))
            for value, name in names.items()
        ]
        facts.sort(key=lambda c: (not _wrong(c), -(c.target_rows or 0), c.name))
        span = span_of([*target.values(), *(source or {}).values()])
        if bounded is None or not bounded.time or span is None:
            return tuple(facts), None
        chosen = [(c.name, c.value) for c in facts[:MOST_SERIES]]

        def over_time(view: PostgresSnapshot | None) -> RowsOverTime:
            return rows_over_time(plan, bounded, chosen, source=view, store=state.store, opened=opened, span=span)

        try:
            if self._view is None or source is None:
                return tuple(facts), over_time(None)
            with self._view.apart():
                return tuple(facts), over_time(self._view)
        except SourceError as error:
            self._leave_out("PostgreSQL did not count this table over time", error)
            return tuple(facts), over_time(None)

    def _source_bounds(self, plan: TablePlan, bounded: Bounded | None) -> dict[str | None, GroupBounds] | None:
        if self._view is None:
            return None
        column = bounded.column.source if bounded is not None else None
        try:
            with self._view.apart():
                return self._view.fetch_bounds(plan, column, time=bounded is not None and bounded.time)
        except SourceError as error:
            self._leave_out("PostgreSQL did not count this table", error)
            return None


class LastVerdicts:
    """What the last verification says of containers. Stored, it may name only the first; those that differ come first.

    A container that it does not name is equal if the naming ended among equal ones, and none was made since.
    """

    def __init__(self, verifications: Sequence[TableVerification], containers: int) -> None:
        self._known = {c.name: c for c in verifications[0].containers} if verifications else {}
        self._others = ""
        if verifications and containers <= verifications[0].containers_total:
            last = verifications[0]
            if last.verdict is Verdict.EQUAL or any(c.verdict is Verdict.EQUAL for c in last.containers):
                self._others = Verdict.EQUAL.value

    def judge(self, container: ContainerFacts) -> ContainerFacts:
        """The container with its verdict."""
        known = self._known.get(container.name)
        if known is None:
            return replace(container, verdict=self._others)
        return replace(container, verdict=known.verdict.value, differences=known.differences, note=known.note)


def _container(
    name: str,
    value: str | None,
    bounded: Bounded | None,
    *,
    source: dict[str | None, GroupBounds] | None,
    target: dict[str, GroupBounds],
    held: int,
) -> ContainerFacts:
    here = GroupBounds(0) if source is None else source.get(value, GroupBounds(0))
    there = target.get(name)
    text = bounded.text if bounded is not None else lambda value: ""
    return ContainerFacts(
        name=name,
        value=value,
        source_rows=None if source is None else here.rows,
        target_rows=None if there is None else there.rows,
        source_low=text(here.low),
        source_high=text(here.high),
        target_low=text(there.low if there is not None else None),
        target_high=text(there.high if there is not None else None),
        held=held,
    )


def _wrong(container: ContainerFacts) -> bool:
    return container.verdict in (Verdict.DIFFERENT.value, Verdict.UNSETTLED.value, Verdict.INCOMPLETE.value)


def load_facts(status: TableStatus, run: LoadRun | None) -> LoadFacts:
    """What there is to say about a table's load."""
    return LoadFacts(
        state=LoadState.NOT_BEGUN if status.state is LoadState.PLANNED else status.state,
        started_at=status.started_at,
        finished_at=status.finished_at,
        rows=status.rows,
        chunks=status.chunks,
        chunks_done=status.chunks_done,
        copied=run.copied if run is not None else None,
        snapshot_lsn=status.snapshot_lsn,
        snapshot_at=run.snapshot.taken_at if run is not None and run.snapshot is not None else "",
        notes=status.notes,
        life=status.life,
    )


def _plan(plan: TablePlan) -> PlanFacts:
    key = [c.target.name for c in plan.columns[: plan.key_length]]
    return PlanFacts(
        kind=plan.kind.name,
        key=tuple(key),
        split_by=plan.split_by or "",
        on_duplicate=plan.on_duplicate.value,
        on_bad_row=plan.on_bad_row.value,
        where=plan.where.strip(),
        columns=tuple(
            ColumnFacts(
                source=c.source,
                source_type=c.pg_type,
                target=c.target.name,
                target_type=c.target.label,
                key=number < plan.key_length,
                nullable=c.target.nullable,
                verdict=c.verdict.value,
                rule=c.rule,
            )
            for number, c in enumerate(plan.columns)
        ),
        findings=tuple(FindingFacts(f.severity.value, f.subject, f.message, f.advice) for f in plan.findings),
    )


def _quarantine(held: Sequence[QuarantinedRow]) -> QuarantineFacts:
    reasons = Counter(f"{row.column}: {row.sentence or row.reason}" for row in held)
    return QuarantineFacts(len(held), tuple(reasons.most_common(20)), tuple(held[:MOST_HELD_ROWS]))
