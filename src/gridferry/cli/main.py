"""The command `gridferry`: its commands, and how it starts and ends."""

from __future__ import annotations

import platform
import signal
import sys
from typing import Annotated

import typer

from gridferry import __version__
from gridferry.cli import (
    cutover_command,
    demo_command,
    init_command,
    journal_commands,
    life_commands,
    load_commands,
    quarantine_commands,
    query_commands,
    repair_command,
    report_command,
    serve_command,
    slot_command,
    sql_command,
    state_commands,
    sync_command,
    verify_command,
)
from gridferry.cli.output import Output
from gridferry.cli.reporting import PIPE_CLOSED_EXIT_CODE, Terminated, reported
from gridferry.cli.streams import ResultLost, drop_what_follows, use_standard_streams
from gridferry.without_pandas import leave_pandas_out

EPILOG = (
    "Exit codes: 0 done, 1 differences found, 2 usage error, 3 permanent failure, 75 temporary failure, "
    "130 interrupted. "
    'With --json an error is the document on stdout: {"error": {...}}.'
)

app = typer.Typer(
    name="gridferry",
    help="PostgreSQL tables loaded into GridDB, and proven equal.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
quarantine = typer.Typer(help="Rows that GridDB cannot hold exactly.", no_args_is_help=True, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gridferry {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """PostgreSQL tables loaded into GridDB, and proven equal."""


def version(output: Output) -> None:
    """Show the version.

    Changes nothing.
    """
    output.document(lambda: {"gridferry": __version__, "python": platform.python_version()})
    output.show(f"gridferry {__version__}")


app.command()(reported(init_command.init))
app.command()(reported(load_commands.plan))
app.command()(reported(load_commands.load))
app.command()(reported(sync_command.sync))
app.command(cls=verify_command.VerifyCommand)(reported(verify_command.verify))
app.command()(reported(repair_command.repair))
app.command()(reported(journal_commands.undo))
app.command()(reported(journal_commands.repairs))
app.command()(reported(life_commands.forget))
app.command()(reported(life_commands.pause))
app.command()(reported(life_commands.resume))
app.command()(reported(life_commands.resync))
app.command()(reported(life_commands.remove))
app.command()(reported(state_commands.status))
app.command()(reported(state_commands.containers))
app.command()(reported(cutover_command.cutover))
app.command()(reported(report_command.report))
app.command("drop-slot")(reported(slot_command.drop_slot))
app.command()(reported(query_commands.show))
app.command()(reported(query_commands.tql))
app.command()(reported(sql_command.sql))
quarantine.command("list")(reported(quarantine_commands.list_rows))
quarantine.command("replay")(reported(quarantine_commands.replay))
app.add_typer(quarantine, name="quarantine")
app.command()(reported(serve_command.serve))
app.command()(reported(demo_command.demo))
app.command("version")(reported(version))


def main() -> None:
    """Run the command line and exit with its code. SIGTERM ends a command as Ctrl-C does: in order."""
    signal.signal(signal.SIGTERM, _terminate)
    leave_pandas_out()
    use_standard_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # what fails here would fail when Python ends, with a code and words of its own
    except ResultLost as error:
        drop_what_follows(sys.stdout)
        sys.stderr.write(f"error: {error.message}\nNext: {error.next_step}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        drop_what_follows(sys.stdout)
        sys.exit(PIPE_CLOSED_EXIT_CODE)


def _terminate(number: int, frame: object) -> None:
    raise Terminated


if __name__ == "__main__":
    main()
