"""`plan` and `load`: the main job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.asking import require_yes
from gridferry.cli.load_view import load_view
from gridferry.cli.metrics_server import LOCAL, MetricsHost, MetricsPort, measured
from gridferry.cli.options import (
    DEFAULT_CONFIG,
    AcceptQuarantined,
    ConfigFile,
    Tables,
    Wait,
    WaitForTransactions,
    chosen,
    seconds,
)
from gridferry.cli.output import Output, plain
from gridferry.cli.plan_summary import MOST_DETAILED, plan_summary
from gridferry.cli.plan_view import plan_document, plan_view
from gridferry.cli.progress import follow_load
from gridferry.cli.table_outcomes import kept_going, tables_document, telling
from gridferry.cli.verified import Wished, coverage_document, end_with_verified, quarantine_code
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import TableLoad

PROBLEMS_EXIT_CODE = 2
_RESUME = "Interrupted. What was stored stays: run the same command again and the load goes on from there."


def plan(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    details: Annotated[
        bool, typer.Option("--details", help="Show every table in full, however many there are.")
    ] = False,
) -> None:
    """Show what a load would make of the tables, and every risk. Many tables have a line each.

    Changes nothing.
    """
    with opening.open_migration(config, with_target=False) as migration, output.waiting("looking at the tables"):
        made = migration.plan(chosen(table))
    output.document(lambda: plan_document(made))
    many = len(made.tables) + len(made.unread) > max(MOST_DETAILED, len(chosen(table)))
    summary = many and not details
    output.show(*(plan_summary if summary else plan_view)(made, width=output.out.width))
    if summary:
        output.note("\ndetails: gridferry plan --details, or --table NAME", style="dim")
    if made.problems:
        count = numbers.plural(len(made.problems), "problem")
        output.note(
            f"\n{count} must be solved first: change {config}, then run `gridferry plan` again.", style="bold red"
        )
        raise typer.Exit(PROBLEMS_EXIT_CODE)
    output.note(f"\nNext: gridferry load{repeated(config, table)}", style="bold")


def load(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what the containers hold, and load again from the start.")
    ] = False,
    replace_unclaimed: Annotated[
        bool,
        typer.Option(
            "--replace-unclaimed", help="With --replace: drop also containers of the plan that no migration loaded."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --replace.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, max=256, help="How many read and put at the same time."),
    ] = None,
    rows_per_chunk: Annotated[
        int,
        typer.Option(
            "--rows-per-chunk", metavar="N", min=1, help="About how many rows a resume may have to read again."
        ),
    ] = 100_000,
    wait: Wait = 0.0,
    wait_for_transactions: WaitForTransactions = "10m",
    accept_quarantined: AcceptQuarantined = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCAL,
) -> None:
    """Load the tables, or go on with a load that was interrupted. What is loaded already is left alone.

    Exit code 0 all rows are stored, 1 some are in the quarantine (or differ, where the config asks for a verification).

    Changes: rows, state in GridDB; mode cdc: slot, publication in PostgreSQL.
    """
    if replace_unclaimed and not replace:
        raise ConfigError(
            "--replace-unclaimed is of use with --replace only", state="nothing was changed", next_step="add --replace"
        )
    if replace and not dry_run and not yes:
        _confirm_replace(output, config, table, unclaimed=replace_unclaimed)
    transactions_s = seconds("--wait-for-transactions", wait_for_transactions)
    output.interrupted = _RESUME
    with (
        follow_load(output) as shown,
        measured(output, telling(output, shown), host=metrics_host, port=metrics_port) as listener,
        opening.open_migration(config, listener=listener, transactions_s=transactions_s) as migration,
    ):

        def load() -> list[TableLoad]:
            if dry_run:
                return migration.loads.preview(migration.plan(chosen(table)))
            return migration.loads.load(
                chosen(table),
                replace=replace,
                replace_unclaimed=replace_unclaimed,
                workers=workers,
                rows_per_chunk=rows_per_chunk,
                wait_s=wait,
            )

        began = time.monotonic()
        loads, failed = kept_going(load)
        took_s = time.monotonic() - began
        skip = dry_run or (failed is not None and not loads)
        wished = Wished() if skip else Wished.of(migration, chosen(table), failed, synced=False)
    tables = [load_document(t) for t in loads]
    output.document(lambda: {**tables_document(tables, failed), **wished.document})
    output.show(*load_view(loads, seconds=took_s))
    # What was written since the load's snapshot is for the first sync to bring: no reason to load again.
    codes = [1] if wished.report is not None and wished.report.differences else []
    codes.append(quarantine_code(output, [t.coverage for t in loads], accepted=accept_quarantined))
    if wished.report is None and not failed:
        output.note(f"\nNext: gridferry {'load' if dry_run else 'verify'}{repeated(config, table)}", style="bold")
    end_with_verified(output, wished, failed, again=repeated(config, table), codes=codes)


def load_document(load: TableLoad) -> dict[str, Any]:
    """What a load did to one table, as JSON."""
    speed = {"rows_per_second": round(load.rows_per_second)}
    return {**plain(load), **speed, "coverage": coverage_document(load.coverage)}


def _confirm_replace(output: Output, config: Path, table: list[str] | None, *, unclaimed: bool) -> None:
    """Return if the user agrees. Raises: ConfigError if not, or if nobody can be asked; what the target raises."""
    with opening.open_migration(config) as migration:
        what = migration.loads.what_replace_drops(chosen(table))
    if unclaimed:
        what += "; --replace-unclaimed drops also containers with the plan's names that no migration loaded"
    require_yes(output, [what], "Drop and load again?", otherwise="leave out --replace to go on loading")


def repeated(config: Path, table: list[str] | None) -> str:
    """The options that the next command needs too."""
    options = "" if config == DEFAULT_CONFIG else f" -c {config}"
    return options + "".join(f" --table {name}" for name in table or ())
