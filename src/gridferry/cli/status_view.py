"""How far tables are, on a screen: a few in full, of many a line each and the reasons of those that are not in step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli.tables import facts, hanging, listing, visible
from gridferry.model import coverage_words
from gridferry.model.moment import shown
from gridferry.model.outcomes import LoadState
from gridferry.model.table_life import Stage

if TYPE_CHECKING:
    from gridferry.engine.standing import SyncStatus, TableStatus

MOST_DETAILED = 5  # tables that are shown in full where nobody asks for it
_STATE_STYLES = {
    LoadState.LOADED: "green",
    LoadState.LOADING: "cyan",
    LoadState.REPLACING: "cyan",
    LoadState.INTERRUPTED: "yellow",
}


_STAGE_STYLES = {
    Stage.IN_STEP: "green",
    Stage.COPY: "cyan",
    Stage.CATCH_UP: "cyan",
    Stage.RESYNC: "cyan",
    Stage.PAUSED: "yellow",
    Stage.APART: "bold red",
    Stage.GONE: "bold red",
}
_CALM = (Stage.PLANNED, Stage.COPY, Stage.LOADED, Stage.IN_STEP, Stage.CATCH_UP)  # nothing has to be said of these


def status_in_full(one: TableStatus) -> Iterator[RenderableType]:
    """All that is known of one table."""
    yield Text.assemble((visible(one.table), "bold"), ": ", _state(one))
    yield facts(_details(one), indent=2)


def status_summary(found: Sequence[TableStatus], *, width: int) -> Iterator[RenderableType]:
    """A line a table in at most `width` columns, their slots, and what has to be said of single tables."""
    yield listing(["table", "state", "rows", "lag", "verified"], [_row(one) for one in found], right=("rows", "lag"))
    yield Text()
    yield Text(_total(found), style="bold")
    for slot, tables in Counter(_slot(one.sync) for one in found if one.sync is not None and one.sync.slot).items():
        yield hanging("slot  ", f"{slot}; {numbers.plural(tables, 'table')}")
    for one in found:
        said = list(_remarks(one))
        if said:
            yield Text()
            yield Text.assemble((visible(one.table), "bold"), ": ", _state(one))
            yield facts([(label, Text(text)) for label, text in said], indent=2)


def _row(one: TableStatus) -> list[RenderableType]:
    verified = one.verified
    return [
        Text(visible(one.table)),
        _state(one),
        numbers.count(one.rows) if one.containers else "",
        _lag(one.sync),
        f"{verified.verdict.value}, {shown(verified.snapshot_at)}" if verified is not None else "",
    ]


def _lag(sync: SyncStatus | None) -> str:
    """How far behind the target is, in what is known of it."""
    if sync is None:
        return ""
    if sync.lag_seconds is not None:
        return numbers.duration(sync.lag_seconds)
    if sync.lag_rows is not None:
        return numbers.plural(sync.lag_rows, "row")
    return numbers.size(sync.lag_bytes) if sync.lag_bytes is not None else ""


def _total(found: Sequence[TableStatus]) -> str:
    words = Counter(_state(one).plain for one in found)
    rows = sum(one.rows for one in found)
    states = ", ".join(f"{numbers.count(number)} {word}" for word, number in words.most_common())
    return f"{numbers.plural(len(found), 'table')}, {numbers.plural(rows, 'row')}: {states}"


def _remarks(one: TableStatus) -> Iterator[tuple[str, str]]:
    """What concerns this table and not most: that it stands still, rows that are not stored, and what failed."""
    if one.life.stage not in _CALM:
        yield from _life(one)
    if one.state is LoadState.INTERRUPTED:
        yield "chunks", f"{numbers.count(one.chunks_done)} of {numbers.count(one.chunks)}"
    if one.held_by:
        yield "held by", one.held_by
    if one.quarantined:
        yield "quarantine", f"{numbers.plural(one.quarantined, 'row')}, not stored"
    yield from (("note", remark) for remark in coverage_words.remarks(one.coverage))
    yield from (("note", note) for note in one.notes)
    verified = one.verified
    if verified is not None and (verified.differences or verified.unsettled):
        yield "verified", _verified(one)
    if one.sync is not None:
        yield from _failure(one.sync)
        yield from (("note", note) for note in one.sync.notes if note != one.life.reason and not _is_of_mode(note))


def _is_of_mode(note: str) -> bool:
    """Whether a note says what the mode is like, which is no news of one table."""
    return note.startswith("mode ")


def _state(one: TableStatus) -> Text:
    stage = one.life.stage
    text = Text(one.state.value, style=_STATE_STYLES.get(one.state, "dim"))
    if stage.value != one.state.value:
        text.append(f", {stage}", style=_STAGE_STYLES.get(stage, "dim"))
    return text


def _details(one: TableStatus) -> list[tuple[str, RenderableType]]:
    times = " to ".join(shown(t) for t in (one.started_at, one.finished_at) if t)
    lines = [
        *_life(one),
        (
            "rows",
            f"{numbers.count(one.rows)} in {numbers.plural(one.containers, 'container')}" if one.containers else "",
        ),
        ("chunks", f"{numbers.count(one.chunks_done)} of {numbers.count(one.chunks)}" if one.chunks else ""),
        ("quarantine", f"{numbers.plural(one.quarantined, 'row')}, not stored" if one.quarantined else ""),
        ("columns", coverage_words.columns(one.coverage) if one.coverage.columns else ""),
        *(("note", remark) for remark in coverage_words.remarks(one.coverage)),
        ("when", f"{times} UTC" if times else ""),
        ("held by", one.held_by),
        ("snapshot", one.snapshot_lsn),
        *(("note", note) for note in one.notes),
        ("verified", _verified(one)),
        *_followed(one.sync),
    ]
    return [(label, Text(text)) for label, text in lines if text]


def _life(one: TableStatus) -> list[tuple[str, str]]:
    """Since when the table is where it is, and why; not where the lines below say so."""
    life = one.life
    if life.stage in (Stage.PLANNED, Stage.COPY, Stage.LOADED, Stage.IN_STEP):
        return []
    since = f"since {shown(life.since)} UTC" if life.since else ""
    said_below = one.sync is not None and (one.sync.failure is not None or life.reason in one.sync.notes)
    reason = "" if life.stage is Stage.APART and said_below else life.reason
    return [(life.stage.value, ": ".join(part for part in (since, reason) if part))]


def _verified(one: TableStatus) -> str:
    """What the last verification found."""
    last = one.verified
    if last is None:
        return ""
    parts = [f"{last.depth.value}, {last.verdict.value}", f"{shown(last.snapshot_at)} UTC"]
    if last.covered.left_out:
        parts.append(coverage_words.columns(last.covered))
    if coverage_words.has_gaps(last.coverage):
        parts.append(coverage_words.rows(last.coverage))
    if last.differences:
        parts.append(numbers.plural(last.differences, "row differs", more="rows differ"))
    if last.unsettled:
        parts.append(f"{numbers.plural(last.unsettled, 'row')} not yet synced")
    return ", ".join(parts)


def _followed(sync: SyncStatus | None) -> list[tuple[str, str]]:
    """How far the table is followed; nothing where it is not."""
    if sync is None:
        return []
    lag = []
    if sync.lag_rows is not None:
        lag.append(f"{numbers.plural(sync.lag_rows, 'row')} to read")
    if sync.lag_bytes is not None:
        lag.append(f"{numbers.count(sync.lag_bytes)} bytes of log to read")
    if sync.lag_seconds is not None:
        lag.append(f"{numbers.duration(sync.lag_seconds)} since that state")
    last = f"{shown(sync.last_started)} UTC, {numbers.plural(sync.last_read, 'row')} read" if sync.last_started else ""
    total = (
        f"{numbers.count(sync.read)} read, {numbers.count(sync.written)} written in {numbers.plural(sync.runs, 'run')}"
    )
    if sync.deleted:
        total += f", {numbers.count(sync.deleted)} deleted"
    if sync.superseded:
        total += f", {numbers.count(sync.superseded)} superseded"
    return [
        ("sync", f"mode {sync.mode}, {sync.state}"),
        *_failure(sync),
        ("position", f"{sync.column} {sync.position}".strip() if sync.position else ""),
        ("slot", _slot(sync)),
        ("state of", f"{shown(sync.as_of)} UTC" if sync.as_of else ""),
        ("lag", ", ".join(lag)),
        ("last run", last),
        ("since load", total if sync.runs or sync.read else ""),
        *(("note", note) for note in sync.notes),
    ]


def _failure(sync: SyncStatus) -> list[tuple[str, str]]:
    """Why the last sync failed, since when, and what to do."""
    failure = sync.failure
    if failure is None:
        return []
    said = "; ".join(line.strip() for line in failure.message.splitlines())
    passes = "; it may pass, and a sync that follows tries again" if failure.try_again else ""
    lines = [("failed", f"since {shown(failure.since)} UTC: {said}{passes}")]
    return lines + ([("next", failure.next_step)] if failure.next_step else [])


def _slot(sync: SyncStatus) -> str:
    parts = [
        sync.slot,
        f"confirmed {sync.confirmed}" if sync.confirmed else "",
        f"keeps {numbers.count(sync.kept_bytes)} bytes" if sync.kept_bytes is not None else "",
        f"log {sync.wal_status}" if sync.wal_status else "",
    ]
    return ", ".join(part for part in parts if part)
