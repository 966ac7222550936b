"""`sync`: loaded tables catch up with their source, once or without end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.following import follow as follow_until
from gridferry.cli.load_commands import repeated
from gridferry.cli.log_lines import LogFormat, LogLines
from gridferry.cli.metrics_server import LOCAL, HealthPort, MetricsHost, MetricsPort, measured
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
from gridferry.cli.signals import listening
from gridferry.cli.source_change import take_over
from gridferry.cli.sync_log import logged
from gridferry.cli.table_outcomes import kept_going, tables_document, telling
from gridferry.cli.tables import hanging
from gridferry.cli.verified import Wished, coverage_document, end_with_verified, quarantine_code, verdict_code
from gridferry.errors import ConfigError
from gridferry.model import coverage_words
from gridferry.model.moment import shown
from gridferry.model.outcomes import SyncOutcome

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener, TableSync
    from gridferry.engine.migration import Migration

_ENDING = "Ending after the next checkpoint; once more ends at once."
_RESUME = "Interrupted. What was stored stays: run the same command again and the sync goes on from there."


def sync(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on without end; Ctrl-C or SIGTERM ends it after a checkpoint.")
    ] = False,
    interval: Annotated[
        str | None,
        typer.Option(
            "--interval",
            metavar="TIME",
            help="With --follow: from one run to the next.  [default: 60s]",
            show_default=False,
        ),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Look at whole tables, for rows that came later than the lookback.")
    ] = False,
    new_slot: Annotated[
        bool,
        typer.Option("--new-slot", help="Mode cdc: where the slot is lost, make another and go on from there."),
    ] = False,
    new_source: Annotated[
        bool,
        typer.Option(
            "--new-source",
            help="Where another source took the place of the one that was loaded: compare everything, repair what "
            "differs, and go on from there.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --new-source: do not ask.")] = False,
    wait: Wait = 0.0,
    wait_for_transactions: WaitForTransactions = "10m",
    accept_quarantined: AcceptQuarantined = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOCAL,
    health_port: HealthPort = None,
    stall_after: Annotated[
        str,
        typer.Option(
            "--stall-after",
            metavar="TIME",
            help="With --follow: /healthz fails when nothing was heard of any table for so long, and the interval.",
        ),
    ] = "5m",
    max_lag: Annotated[
        str | None,
        typer.Option("--max-lag", metavar="TIME", help="With --follow: /readyz fails while a table lags more."),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            "--log-format",
            metavar="text|json",
            help="Log as lines of text or of JSON on stderr.  [default: text with --follow and no terminal]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Store everything committed before now in the loaded tables. Tables need a `sync` in the config.

    Exit code 0 all of it is stored, 1 rows of the tables are in the quarantine (or differ, see `verify:`).

    Changes: rows, state in GridDB; mode cdc: slot, publication in PostgreSQL.
    """
    if log_format is not None or (follow and not output.err.is_terminal):
        output.lines = LogLines(log_format or LogFormat.TEXT, quiet=output.quiet)
    if interval is not None and not follow:
        raise ConfigError("--interval is of use with --follow only", next_step="give both, or neither")
    interval_s = seconds("--interval", interval or "60s")
    transactions_s = seconds("--wait-for-transactions", wait_for_transactions)
    if new_source and (follow or sweep or new_slot):
        raise ConfigError(
            "--new-source goes alone: a source is taken over once, and looked at whole",
            state="nothing was changed",
            next_step="leave out --follow, --sweep and --new-slot",
        )
    stall_s = seconds("--stall-after", stall_after)
    max_lag_s = None if max_lag is None else seconds("--max-lag", max_lag)
    output.interrupted = _RESUME
    with ExitStack() as stack:
        listener = (
            _listener(output, follow=follow)
            if output.lines is None
            else stack.enter_context(logged(output.lines, follow=follow))
        )
        listener = stack.enter_context(
            measured(
                output,
                telling(output, listener),
                host=metrics_host,
                port=metrics_port,
                health_port=health_port,
                follows=follow,
                stall_s=stall_s,
                max_lag_s=max_lag_s,
            )
        )

        def opened() -> Migration:
            return opening.open_migration(config, listener=listener, transactions_s=transactions_s)

        wished = Wished()
        if follow:
            requests = stack.enter_context(listening(lambda: _ending(output)))
            done, failed = follow_until(
                output,
                opened,
                chosen(table),
                requests,
                interval_s=interval_s,
                wait_s=wait,
                sweep=sweep,
                new_slot=new_slot,
            )
        else:
            migration = stack.enter_context(opened())
            if new_source:
                done, failed = take_over(output, migration, chosen(table), yes=yes, wait_s=wait), None
            else:
                with output.waiting("looking for new rows"):
                    done, failed = kept_going(
                        lambda: migration.syncs.sync(chosen(table), wait_s=wait, sweep=sweep, new_slot=new_slot)
                    )
            if not new_source and (failed is None or done):
                wished = Wished.of(migration, chosen(table), failed, synced=True)
    tables = [plain(one) | {"coverage": coverage_document(one.coverage)} for one in done]
    output.document(lambda: {**tables_document(tables, failed), **wished.document})
    output.show(*sync_view(done))
    codes = [quarantine_code(output, [one.coverage for one in done], accepted=accept_quarantined)]
    if wished.report is None and not failed and output.lines is None:
        output.note(f"\nNext: gridferry status{repeated(config, table)}", style="bold")
    if wished.report is not None:
        codes.append(verdict_code(wished.report, accept_quarantined=accept_quarantined))
    end_with_verified(output, wished, failed, again=repeated(config, table), codes=codes)


def sync_view(syncs: Sequence[TableSync]) -> Iterator[RenderableType]:
    """A line for each table, and its notes."""
    for sync in syncs:
        yield sync_line(sync)
        for remark in coverage_words.remarks(sync.coverage):
            yield hanging("  ", remark, style="yellow")
        for note in sync.notes:
            yield hanging("  ", note, style="yellow")


def sync_line(sync: TableSync) -> Text:
    """What happened to one table."""
    line = Text.assemble(
        (sync.table, "bold"),
        ": ",
        (sync.outcome.value, "green" if sync.outcome is not SyncOutcome.STOPPED else "yellow"),
    )
    parts = []
    if sync.read:
        parts.append(f"{numbers.plural(sync.rows, 'row')} in {numbers.plural(sync.touched, 'container')}")
        if sync.created:
            parts[-1] += f" ({numbers.count(len(sync.created))} of them new)"
    if sync.deleted:
        parts.append(f"{numbers.plural(sync.deleted, 'row')} deleted")
    parts.append(numbers.duration(sync.seconds))
    if sync.as_of:
        parts.append(f"as of {shown(sync.as_of)} UTC")
    line.append(", " + ", ".join(parts))
    if sync.superseded:
        line.append(f", {numbers.count(sync.superseded)} {coverage_words.SUPERSEDED}", style="yellow")
    held = max(sync.coverage.quarantined, sync.quarantined)
    if held:
        new = f" ({numbers.count(sync.quarantined)} by this run)" if sync.quarantined else ""
        line.append(f", {numbers.plural(held, 'row')} in quarantine{new}", style="yellow")
    return line


def _ending(output: Output) -> str:
    """What is said to the first signal."""
    if output.quiet:
        return ""
    return f"{_ENDING}\n" if output.lines is None else output.lines.line("note", message=_ENDING)


def _listener(output: Output, *, follow: bool) -> Listener:
    from gridferry.engine.events import Level, Note, TableLoad, TableSync

    def hear(event: Event) -> None:
        if isinstance(event, Note) and event.level is Level.WARNING:
            output.warn(f"{event.table}: {event.message}")
        elif isinstance(event, TableLoad):
            output.note(f"{event.table}: new, {event.outcome.value}, {numbers.plural(event.rows, 'row')}")
        elif isinstance(event, TableSync) and follow and event.outcome is not SyncOutcome.NOTHING_NEW:
            output.note(sync_line(event))

    return hear
