"""`pause`, `resume`, `resync`, `remove` and `forget`: the life of loaded tables, one by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gridferry.cli import opening
from gridferry.cli.asking import require_yes
from gridferry.cli.load_commands import repeated
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, Wait, WaitForTransactions, chosen, seconds
from gridferry.cli.output import Output, plain
from gridferry.cli.table_outcomes import kept_going, show_failed, tables_document, warnings
from gridferry.cli.tables import hanging
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.life.lives import LifeChange, Lives
    from gridferry.engine.life.resync import ResyncPlan

TablesNamed = Annotated[
    list[str], typer.Argument(metavar="TABLE...", help="Tables as in the config, or patterns such as 'stock.*'.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before containers are dropped.")]
_REPAIR_OR_AGE = re.compile(r"\d{8}T\d{6}-[0-9a-f]+(?:-\d+)?|\s*\d+\s*[a-z]+\s*")


def pause(
    output: Output,
    tables: TablesNamed,
    config: ConfigFile = DEFAULT_CONFIG,
    release_log: Annotated[
        bool,
        typer.Option(
            "--release-log",
            help="Mode cdc: let the source remove the log that the table would need. `resync` brings it back then.",
        ),
    ] = False,
    wait: Wait = 0.0,
) -> None:
    """Let syncs leave tables out. Also a sync that runs; the others go on, until `resume`.

    Changes: state in GridDB, no row; --release-log: slot in PostgreSQL.
    """
    _show(output, config, "pausing", lambda lives: lives.pause(tables, release_log=release_log, wait_s=wait))


def resume(output: Output, tables: TablesNamed, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Let syncs go on with paused tables. They do so from where they were.

    Changes: state in GridDB, no row; nothing in PostgreSQL.
    """
    _show(output, config, "resuming", lambda lives: lives.resume(tables))


def resync(
    output: Output,
    tables: TablesNamed,
    config: ConfigFile = DEFAULT_CONFIG,
    copy: Annotated[
        bool, typer.Option("--copy", help="Drop the rows and copy again, also where they could be repaired in place.")
    ] = False,
    yes: Yes = False,
    wait: Wait = 0.0,
    wait_for_transactions: WaitForTransactions = "10m",
) -> None:
    """Bring tables back in step. Whatever is wrong with them, and while the others go on.

    In place where the plan is as it was loaded: rows can be read all the time. Else by a new copy.

    Changes: rows, state in GridDB; mode cdc: slot, publication in PostgreSQL.
    """
    transactions_s = seconds("--wait-for-transactions", wait_for_transactions)
    output.interrupted = "Interrupted. The table is left out by syncs until the same command was run to its end."
    if not yes:
        with opening.open_migration(config) as migration, output.waiting("looking at the tables"):
            plans = migration.lives.look(tables, copy=copy)
        _confirm(output, [_said(plan) for plan in plans if plan.drops], "Drop and copy again?")
    _show(
        output,
        config,
        "bringing tables back",
        lambda lives: lives.resync(tables, copy=copy, wait_s=wait),
        transactions_s=transactions_s,
    )


def remove(
    output: Output,
    tables: TablesNamed,
    config: ConfigFile = DEFAULT_CONFIG,
    drop: Annotated[bool, typer.Option("--drop", help="Drop their containers with all rows, too.")] = False,
    yes: Yes = False,
    wait: Wait = 0.0,
) -> None:
    """Follow tables no more. No log is kept for them, their rows stay, and no pattern loads them again.

    Changes: state in GridDB, --drop: rows; mode cdc: slot in PostgreSQL.
    """
    if drop and not yes:
        with opening.open_migration(config) as migration, output.waiting("asking GridDB"):
            what = migration.lives.what_remove_drops(tables)
        _confirm(output, [f"--drop drops {what}"], "Drop?")
    _show(output, config, "removing", lambda lives: lives.remove(tables, drop=drop, wait_s=wait))


def forget(
    output: Output,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE...|RUN...|AGE",
            help="Tables that are gone from source or config; or repairs by their run, or an age such as 30d: all "
            "that ended longer ago.",
        ),
    ],
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    wait: Wait = 0.0,
) -> None:
    """Delete what is kept of gone tables, or of repairs. Repairs cannot be undone then.

    Containers stay, with their rows.

    Changes: state in GridDB, no row; tables in mode cdc: slot in PostgreSQL.
    """
    repairs = [each for each in what if _REPAIR_OR_AGE.fullmatch(each)]
    if repairs and len(repairs) < len(what):
        raise ConfigError(
            "tables and repairs are forgotten one after the other",
            state="nothing was changed",
            next_step="name tables only, or repairs only",
        )
    if not repairs:
        if table:
            raise ConfigError(
                "--table says of which table repairs are forgotten",
                state="nothing was changed",
                next_step="name tables without --table",
            )
        _show(output, config, "forgetting", lambda lives: lives.forget(what, wait_s=wait))
        return
    with opening.open_migration(config, listener=warnings(output)) as migration, output.waiting("asking GridDB"):
        gone = [run for each in repairs for run in migration.repairs.forget(each, chosen(table), wait_s=wait)]
    output.document(lambda: {"forgotten": gone})
    output.show(*([f"forgotten: {run}" for run in gone] or ["there was nothing to forget"]))


def _show(
    output: Output,
    config: Path,
    doing: str,
    call: Callable[[Lives], list[LifeChange]],
    *,
    transactions_s: float | None = None,
) -> None:
    """Do it, and show what became of each table. Raises: typer.Exit where some of several failed."""
    listener = warnings(output)
    with (
        opening.open_migration(config, listener=listener, transactions_s=transactions_s) as migration,
        output.waiting(doing),
    ):
        done, failed = kept_going(lambda: call(migration.lives))
    documents = [plain(one) | {"outcome": one.change.value} for one in done]
    output.document(lambda: tables_document(documents, failed))
    for one in done:
        output.show(Text.assemble((one.table, "bold"), f": {one.change}"))
        if one.detail:
            output.show(hanging("  ", one.detail, style="dim"))
    show_failed(output, failed)
    if failed is not None:
        raise typer.Exit(failed.exit_code)
    output.note(f"\nNext: gridferry status{repeated(config, None)}", style="bold")


def _said(plan: ResyncPlan) -> str:
    return f"{plan.table} is copied again ({plan.copies}): that drops {plan.drops}"


def _confirm(output: Output, drops: list[str], question: str) -> None:
    """Return if nothing is dropped, or the user agrees. Raises: ConfigError."""
    if drops:
        require_yes(output, drops, question, otherwise="leave the table as it is")
