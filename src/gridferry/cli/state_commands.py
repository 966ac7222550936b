"""`status` and `containers`: what the target says of the tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.check_view import end_with_check
from gridferry.cli.containers_view import MOST_CONTAINERS, containers_view
from gridferry.cli.left_over_view import left_over, left_over_document, show_left_over
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, TargetUrl, chosen, seconds
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import kept_going, show_failed, tables_document
from gridferry.cli.tables import facts, listing
from gridferry.cli.verified import coverage_document
from gridferry.errors import ConfigError
from gridferry.model import coverage_words
from gridferry.model.moment import shown
from gridferry.model.outcomes import LoadState
from gridferry.model.table_life import Stage

if TYPE_CHECKING:
    from gridferry.engine.events import SyncStatus, TableStatus
    from gridferry.griddb import Container, Store

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


def status(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    whole: Annotated[
        bool, typer.Option("--all", help="List the migrations of the target and their tables, whatever the config has.")
    ] = False,
    each: Annotated[bool, typer.Option("--containers", help="Show the state of each container of the tables.")] = False,
    match: Annotated[
        str | None,
        typer.Option("--match", metavar="PATTERN", help="With --containers: only such names or split values."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=1,
            help=f"With --containers: show at most so many a table.  [default: {MOST_CONTAINERS}]",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only say what is wrong, a line each; exit code 3 if it stays, 75 if it may pass."
        ),
    ] = False,
    max_lag: Annotated[
        str | None,
        typer.Option(
            "--max-lag",
            metavar="TIME",
            help="With --check: how old the state that a followed table shows may be.  [default: 5m]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show how far each table is.

    Changes nothing.
    """
    _require_sense(whole=whole, narrowed=bool(table), each=each, match=match, limit=limit, check=check, max_lag=max_lag)
    if whole:
        _list_migrations(output, config)
        return
    if check:
        max_lag_s = seconds("--max-lag", max_lag or "5m")
        with opening.open_migration(config) as migration, output.waiting("asking both ends"):
            wrong = migration.status.check(chosen(table), max_lag_s=max_lag_s)
        end_with_check(output, wrong)
        return
    with opening.open_migration(config) as migration, output.waiting("asking GridDB"):
        found, failed = kept_going(lambda: migration.status.tables(chosen(table)))
        states = migration.status.container_states(chosen(table), match=match or "", known=found) if each else []
        away = any(one.sync is not None and one.sync.unasked is not None for one in found)
        left = None if table or away else left_over(migration)
    tables = [plain(one) | {"outcome": "shown", "coverage": coverage_document(one.coverage)} for one in found]
    output.document(
        lambda: {
            **tables_document(tables, failed),
            **({"containers": states} if each else {}),
            **left_over_document(left),
        }
    )
    for number, one in enumerate(found):
        output.show(*([Text()] if number else []), Text.assemble((one.table, "bold"), ": ", _state(one)))
        output.show(facts(_details(one), indent=2))
        if each:
            output.show(
                *containers_view(
                    [c for c in states if c.table == one.table], limit=limit or MOST_CONTAINERS, width=output.out.width
                )
            )
    show_left_over(output, left)
    planned = [one.table for one in found if one.state is LoadState.PLANNED]
    if planned and len(found) > 1:
        output.note(f"\n{coverage_words.new_tables(planned)}. Next: gridferry load", style="bold")
    if any(one.state is LoadState.INTERRUPTED for one in found):
        output.note("\nNext: gridferry load goes on where a load was interrupted", style="bold")
    show_failed(output, failed)
    if failed is not None:
        raise typer.Exit(failed.exit_code)


def _require_sense(
    *,
    whole: bool,
    narrowed: bool,
    each: bool,
    match: str | None,
    limit: int | None,
    check: bool,
    max_lag: str | None,
) -> None:
    """Return if the options of `status` go together. Raises: ConfigError."""
    if whole and (each or narrowed or check):
        raise ConfigError("--all lists whole migrations", next_step="leave out --containers, --table and --check")
    if check and each:
        raise ConfigError("--check says what is wrong, and nothing else", next_step="leave out --containers")
    for option, given, needs in (
        ("--match says which containers to show", match, each),
        ("--limit says which containers to show", limit, each),
        ("--max-lag says what --check takes for wrong", max_lag, check),
    ):
        if given is not None and not needs:
            other = "--check" if option.startswith("--max-lag") else "--containers"
            raise ConfigError(option, next_step=f"add {other}, or leave it out")


def _list_migrations(output: Output, config: Path) -> None:
    from gridferry.engine.ownership.held_tables import holdings

    with opening.open_store(None, config) as store, output.waiting("asking GridDB"):
        found = holdings(store)
    entries = [
        {
            "key": holding.entry.key,
            "name": holding.entry.name,
            "database": holding.entry.origin.name,
            "system": holding.entry.origin.system,
            "oid": holding.entry.origin.oid,
            "created_at": holding.entry.created_at,
            "tables": list(holding.tables),
        }
        for holding in found
    ]
    output.document(lambda: {"migrations": entries})
    rows: list[list[RenderableType]] = [
        [
            Text(holding.entry.name or "-"),
            Text(holding.entry.origin.name),
            Text(holding.entry.origin.system),
            Text(shown(holding.entry.created_at)),
            Text(", ".join(holding.tables)),
        ]
        for holding in found
    ]
    if not rows:
        output.show(Text("No migration has loaded anything into this target."))
        return
    output.show(listing(["name", "database", "server", "since (UTC)", "tables"], rows))


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


def containers(
    output: Output, config: ConfigFile = DEFAULT_CONFIG, table: Tables = None, target: TargetUrl = None
) -> None:
    """List the containers of the tables. With --target all of a database.

    Changes nothing.
    """
    if target:
        with opening.open_store(target, config) as store, output.waiting("asking GridDB"):
            _list_database(output, store)
        return
    with opening.open_migration(config) as migration, output.waiting("asking GridDB"):
        found = migration.status.containers(chosen(table))
    output.document(lambda: {"containers": found})
    rows = [
        [Text(c.name), Text(c.value or ""), _rows(c.rows), Text(str(c.partition)), Text(c.table)] for c in found
    ]  # fmt: skip
    output.show(listing(["container", "value", "rows", "partition", "table"], rows, right=("rows", "partition")))


def _rows(number: int | None) -> Text:
    return Text("not there", style="yellow") if number is None else Text(numbers.count(number))


def _list_database(output: Output, store: Store) -> None:
    opened = store.open_containers(store.container_names())
    found: list[Container] = [container for container in opened.values() if container is not None]
    entries: list[dict[str, Any]] = [
        {"name": c.name, "kind": c.schema.kind.name, "rows": rows, "partition": c.handle.partition}
        for c, rows in zip(found, store.counts(found), strict=True)
    ]
    output.document(lambda: {"containers": entries})
    rows = [[Text(e["name"]), Text(e["kind"]), _rows(e["rows"]), Text(str(e["partition"]))] for e in entries]
    output.show(listing(["container", "kind", "rows", "partition"], rows, right=("rows", "partition")))
