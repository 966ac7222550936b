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
from gridferry.cli.status_view import MOST_DETAILED, status_in_full, status_summary
from gridferry.cli.table_outcomes import kept_going, show_failed, tables_document
from gridferry.cli.tables import listing
from gridferry.cli.verified import coverage_document
from gridferry.errors import ConfigError
from gridferry.model import coverage_words
from gridferry.model.moment import shown
from gridferry.model.outcomes import LoadState

if TYPE_CHECKING:
    from gridferry.griddb import Container, Store


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
    details: Annotated[
        bool, typer.Option("--details", help="Show every table in full, however many there are.")
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
    short = len(found) > MOST_DETAILED and not (details or each or table)
    if short:
        output.show(*status_summary(found, width=output.out.width))
        output.note("\ndetails: gridferry status --details, or --table NAME", style="dim")
    for number, one in enumerate(() if short else found):
        output.show(*([Text()] if number else []), *status_in_full(one))
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
