"""From a target to facts: what gridferry keeps there, and the containers that are shown, counted now.

The source is never asked: its rows are those of the last verification or of the load, and the page says of when.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gridferry.airflow.page.choice import differs
from gridferry.airflow.page.facts import (
    LiveCounts,
    LiveFacts,
    RowsAt,
    ShownContainer,
    ShownTable,
    TableWithContainers,
    TargetFacts,
)
from gridferry.checkpoint.documents import DocumentStore, utc_now
from gridferry.checkpoint.registry import Registry
from gridferry.checkpoint.runs import LoadRun, RunState
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import ignore
from gridferry.engine.standing import TableStatus
from gridferry.engine.status.tables import TableStates
from gridferry.errors import CheckpointError, ConfigError, FerryError
from gridferry.griddb import GridDBAddress, Timing, connect
from gridferry.model.migration import MigrationEntry
from gridferry.model.moment import age_s
from gridferry.model.over_time import buckets_for
from gridferry.model.verification import TableVerification
from gridferry.plan.coverage import coverage_of
from gridferry.plan.plan import TablePlan
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import table_options
from gridferry.report import facts as reported
from gridferry.report.counting import bounded_column, count_target, counts_over_time, span_of, stamp
from gridferry.report.failures import untold
from gridferry.report.gather import LastVerdicts, load_facts
from gridferry.report.verdicts import table_headline, with_rows
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource

# Somebody looks at a page.
TIMING = Timing(connect_s=3.0, answer_s=4.0, heartbeat_s=2.0, failover_s=1.0)
MOST_BUCKETS = 12  # for each of the containers that are shown: as many questions
BARS_AFTER_S = 1.0  # where rows alone take longer than this, bars would keep the page waiting for all of it
_NOWHERE = "host=unknown"  # the follower of a table wants a source; it is not asked for what the target knows


def read_target(address: GridDBAddress) -> TargetFacts:
    """What the state in a target says of every table that was loaded into it. Raises: GridDBError, CheckpointError."""
    with connect(address, timing=TIMING) as store:
        found: list[tuple[MigrationEntry, TableWithContainers]] = []
        for entry in Registry(DocumentStore(store)).all():
            state = TargetState(store, partial(_itself, entry))
            found += [(entry, _told(state, table, run)) for table, run in state.runs.each()]
    tables = _told_apart(found)
    worst = list(reported.Tone)
    tables.sort(key=lambda t: (-worst.index(t.facts.headline.tone), t.facts.table))
    return TargetFacts(str(address), utc_now(), tuple(tables))


def count_containers(address: GridDBAddress, plan: TablePlan, names: Sequence[str]) -> LiveCounts:
    """What some containers hold now, and over time. Raises: GridDBError."""
    bounded = bounded_column(plan)
    with connect(address, timing=TIMING) as store:
        counted_at, began = utc_now(), time.monotonic()
        opened, bounds = count_target(store, names, bounded)
        newest = {} if bounded is None else {name: bounded.text(found.high) for name, found in bounds.items()}
        column = "" if bounded is None else bounded.column.target.name
        span = span_of(bounds.values())
        slow = time.monotonic() - began > BARS_AFTER_S
        if bounded is None or not bounded.time or span is None or slow:
            live = {name: LiveFacts(found.rows, newest.get(name, "")) for name, found in bounds.items()}
            return LiveCounts(counted_at, column, containers=live, slow=slow)
        buckets = buckets_for(*span, most=MOST_BUCKETS)
        series = dict(zip(opened, counts_over_time(store, list(opened.values()), bounded, buckets), strict=True))
    return LiveCounts(
        counted_at,
        column,
        start=stamp(buckets.start_s),
        end=stamp(buckets.end_s),
        width_s=buckets.width_s,
        containers={name: LiveFacts(found.rows, newest[name], series[name]) for name, found in bounds.items()},
    )


def _itself(entry: MigrationEntry) -> MigrationEntry:
    return entry


def _told_apart(tables: Sequence[tuple[MigrationEntry, TableWithContainers]]) -> list[TableWithContainers]:
    """The tables; of those that several migrations have under one name, each with its migration's name behind it."""
    found = []
    names = Counter(standing.facts.table for _, standing in tables)
    labels = Counter((standing.facts.table, entry.name or entry.origin.name) for entry, standing in tables)
    for entry, standing in tables:
        table, label = standing.facts.table, entry.name or entry.origin.name
        if labels[table, label] > 1:
            label = f"{label} {entry.key}"
        told = table if names[table] == 1 else f"{table} ({label})"
        found.append(replace(standing, facts=replace(standing.facts, table=told)))
    return found


def _told(state: TargetState, table: str, run: LoadRun | CheckpointError) -> TableWithContainers:
    return _unreadable(table, run) if isinstance(run, CheckpointError) else _standing(state, run)


def _unreadable(table: str, error: FerryError) -> TableWithContainers:
    facts = untold(table, error)
    return TableWithContainers(ShownTable(table, facts.headline, facts.load))


def _standing(state: TargetState, run: LoadRun) -> TableWithContainers:
    try:
        status = _status(state, run)
        verifications = state.verifications.of(run.table)
        containers = _containers(state, run.table, verifications)
    except (CheckpointError, ConfigError) as error:
        return _unreadable(run.table, error)
    return TableWithContainers(_table(status, run, verifications, containers), containers, run.plan)


def _status(state: TargetState, run: LoadRun) -> TableStatus:
    """As `gridferry status` has it; no config is at hand, so the mode is that of the runs that were."""
    mode = state.cursors.mode_of(run.table) or (SyncMode.CDC if run.slot else None)
    options = table_options(table=_quoted(run), **({"sync": {"mode": mode.value}} if mode else {}))
    source = PostgresSource(parse_address(_NOWHERE))
    return TableStates(source, state, ignore).tables([options], ask_source=False, known=[run])[0]


def _containers(
    state: TargetState, table: str, verifications: Sequence[TableVerification]
) -> tuple[ShownContainer, ...]:
    entries = state.catalog.entries(table)
    tallies = state.tallies.all(table)
    held = state.quarantine.counts(table)
    # What was made since the last verification, it cannot have judged.
    late = len(entries) > verifications[0].containers_total if verifications else False
    new = state.catalog.made_since(table, verifications[0].started) if late else set()
    judged = LastVerdicts(verifications, len(entries) - len(new))
    compared = {c.name: c for c in verifications[0].containers} if verifications else {}
    found = []
    for entry in entries:
        name = entry.container
        blank = reported.ContainerFacts(name, entry.value, None, None)
        verdict = blank if name in new and name not in compared else judged.judge(blank)
        numbers, tally = compared.get(name), tallies.get(name)
        found.append(
            ShownContainer(
                name=name,
                value=entry.value,
                verdict=verdict.verdict,
                differences=verdict.differences,
                note=verdict.note,
                source_rows=None if numbers is None else numbers.source_rows,
                verified_rows=None if numbers is None else numbers.target_rows,
                written=tally.written if tally else 0,
                deleted=tally.deleted if tally else 0,
                last_written=tally.last_written if tally else "",
                held=held[name],
            )
        )
    return tuple(found)


def _table(
    status: TableStatus,
    run: LoadRun,
    verifications: Sequence[TableVerification],
    containers: Sequence[ShownContainer],
) -> ShownTable:
    load = load_facts(status, run)
    last = verifications[0] if verifications else None
    rows = _rows_over_time(run, verifications)
    newest = rows[-1] if rows else None
    covered = last.covered if last is not None else None if run.plan is None else coverage_of(run.plan)
    return ShownTable(
        table=run.table,
        headline=table_headline(load, verifications, covered, held=status.quarantined),
        load=load,
        sync=status.sync,
        lag_s=age_s(status.sync.as_of) if status.sync is not None and status.sync.as_of else None,
        source_rows=None if newest is None else newest.source,
        target_rows=None if newest is None else newest.target,
        rows_at="" if newest is None else newest.at,
        rows_by="verify" if last is not None else "load" if newest is not None else "",
        verified_at="" if last is None else last.snapshot_at or last.started,
        verified_lsn="" if last is None else last.snapshot_lsn,
        verified_depth="" if last is None else last.depth.value,
        verdict="" if last is None else last.verdict.value,
        held=status.quarantined,
        containers=len(containers),
        differing=sum(differs(c) for c in containers),
        unverified=sum(not c.verdict for c in containers),
        holding=sum(c.held > 0 for c in containers),
        held_by=status.held_by,
        rows=rows,
        notes=status.notes + (status.sync.notes if status.sync is not None else ()),
        coverage=None if covered is None else with_rows(covered, last),
    )


def _rows_over_time(run: LoadRun, verifications: Sequence[TableVerification]) -> tuple[RowsAt, ...]:
    """The end of the load, and every verification that is remembered."""
    loaded = [RowsAt(run.finished_at, None, run.rows)] if run.state is RunState.LOADED else []
    seen = [RowsAt(v.snapshot_at or v.started, v.source_rows, v.target_rows) for v in reversed(verifications)]
    return (*loaded, *seen)


def _quoted(run: LoadRun) -> str:
    schema, _, table = run.table.partition(".")
    if run.plan is not None:
        schema, table = run.plan.schema, run.plan.table
    return ".".join('"' + name.replace('"', '""') + '"' for name in (schema, table))
