"""`verify`: both sides compared by value."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gridferry.cli import opening
from gridferry.cli.load_commands import repeated
from gridferry.cli.options import (
    DEFAULT_CONFIG,
    AcceptQuarantined,
    ComparingWorkers,
    ConfigFile,
    DifferencesFile,
    MostDifferences,
    Settle,
    SyncBetween,
    Tables,
    chosen,
)
from gridferry.cli.output import Output
from gridferry.cli.table_outcomes import kept_going, show_failed, warnings
from gridferry.cli.verified import end_with_verdict, report_document, show_verified

# What looks as if it belonged to a verification, and is a command of its own.
_COMMANDS = {
    "--repair": "gridferry repair",
    "--undo": "gridferry undo RUN",
    "--runs": "gridferry repairs",
    "--repairs": "gridferry repairs",
    "--forget": "gridferry forget RUN",
}


class VerifyCommand(TyperCommand):
    """The parser of `verify`: it names the command that somebody looks for among the options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's. Raises: Typer's usage error."""
        given = [word.partition("=")[0] for word in args]  # now: parsing takes them away
        try:
            return super().parse_args(ctx, args)
        except typer.Exit:
            raise
        except Exception as error:  # Typer does not show the class for an option that does not exist
            asked = next((word for word in given if word in _COMMANDS), None)
            if asked is not None and hasattr(error, "option_name"):
                ctx.fail(f"No such option: {asked}. It is a command of its own: `{_COMMANDS[asked]}`")
            raise


def verify(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only rows, least and greatest key of each container; no values.")
    ] = False,
    file: DifferencesFile = None,
    most_differences: MostDifferences = 10,
    settle: Settle = None,
    sync: SyncBetween = False,
    workers: ComparingWorkers = None,
    accept_quarantined: AcceptQuarantined = False,
) -> None:
    """Compare every value of both sides. Exit code 0 equal, 1 different or rows in quarantine, 75 not yet synced.

    Changes: the stored verdict in GridDB; nothing in PostgreSQL without --sync.
    """
    from gridferry.engine.workers import at_most

    with (
        at_most(workers),
        opening.open_migration(config, listener=warnings(output)) as migration,
        output.waiting("comparing both sides"),
    ):
        report, failed = kept_going(
            lambda: migration.verifications.verify(
                chosen(table), quick=quick, output=file, settle_s=settle, sync=sync, most_differences=most_differences
            )
        )
    output.document(lambda: report_document(report, failed))
    show_verified(output, report, again=repeated(config, table))
    show_failed(output, failed)
    end_with_verdict(failed, report.verdict, accept_quarantined=accept_quarantined and not report.partly_left)
