"""`gridferry demo`: the whole story on a screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from gridferry import numbers
from gridferry.cli.load_view import headline
from gridferry.cli.output import Output
from gridferry.cli.plan_view import plan_view
from gridferry.cli.progress import follow_load
from gridferry.cli.repair_command import repair_document
from gridferry.cli.report_command import writable, write_whole
from gridferry.cli.sync_command import sync_view
from gridferry.cli.verified import report_document
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.demo.demo import DemoReport
    from gridferry.engine.events import Listener, TableLoad, TableSync
    from gridferry.griddb import QueryResult
    from gridferry.model.repair import RepairReport
    from gridferry.model.verification import VerifyReport
    from gridferry.plan.plan import Plan

TARGET_VARIABLE = "GRIDFERRY_TARGET"
ALL_ROWS = 405_184
FIRST_ROWS = 5
INDENT = 3  # of what belongs to a step
SCREEN_WIDTH = 80  # where there is no terminal to ask
_NEXT = (
    ("export SOURCE_DSN=postgresql://USER:PASSWORD@HOST/DATABASE", ""),
    ("export GRIDDB_PASSWORD=...", ""),
    ("gridferry init --target griddb://USER@HOST:10001/CLUSTER", "writes gridferry.yaml"),
    ("gridferry plan", "shows the plan"),
    ("gridferry load", "moves the rows"),
    ("gridferry verify", "compares every value"),
    ("gridferry sync", "keeps them in step"),
    ("gridferry report", "puts it on one page"),
)


def demo(
    output: Output,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", metavar="N", min=3, max=ALL_ROWS, help=f"About so many readings instead of {ALL_ROWS:,}."
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option("--share", metavar="PART", min=0.00001, max=1.0, help="This part of the readings, such as 0.1."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="The public file of readings instead of generated ones."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, and say how to go on.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help=f"With {TARGET_VARIABLE}: drop containers of the same names first.")
    ] = False,
    page: Annotated[
        Path, typer.Option("--report", metavar="FILE", help="Where the report's page goes; it stays.")
    ] = Path("gridferry-demo.html"),
) -> None:
    """Show it all in a minute, on a sample. Sensor readings in PostgreSQL: loaded, compared, asked, kept in step.

    Everything runs in a temporary folder and is gone at the end, but for the report's page. GRIDFERRY_TARGET (and
    GRIDDB_PASSWORD) name a GridDB of your own instead of the emulator.

    Changes: the report's file; with GRIDFERRY_TARGET also containers there.
    """
    if sum(wish is not None for wish in (rows, share, csv)) > 1:
        raise ConfigError("--rows, --share and --csv exclude each other", next_step="choose one of them")
    try:
        from gridferry.demo.demo import DemoOptions, run_demo
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the demo needs {error.name}, which is not installed", next_step="pip install 'gridferry[demo]'"
        ) from error
    writable(page)
    target, password = _target()
    part = share if share is not None else 1.0 if rows is None else rows / ALL_ROWS
    options = DemoOptions(target=target, password=password, share=part, csv=csv, keep=keep, replace=replace)
    output.interrupted = "Interrupted. Everything that the demo made is taken away again."
    if not output.out.is_terminal:
        output.out.width = min(output.out.width, SCREEN_WIDTH)
    report = run_demo(options, _Screen(output, page))
    output.document(
        lambda: {
            "rows": report.rows,
            "tables": report.loads,
            "verified": report_document(report.verified),
            "watermark": {
                "syncs": report.watermark.syncs,
                "verified": report_document(report.watermark.first),
                "after_update_and_delete": report_document(report.watermark.last),
                "repair": repair_document(report.watermark.repair),
            },
            "cdc": {
                "tables": report.cdc.loads,
                "syncs": report.cdc.syncs,
                "verified": report_document(report.cdc.verified),
                "dropped": report.cdc.dropped,
            },
            "report": str(page),
            "kept": list(report.kept),
        }
    )
    output.show(*_closing(report, page))
    if not report.as_promised:
        from gridferry.model.verification import EXIT_CODES, Verdict

        raise typer.Exit(EXIT_CODES[Verdict.DIFFERENT])


def _target() -> tuple[str, str]:
    """The user's own target and its password; both empty for the emulator. Raises: ConfigError."""
    url = os.environ.get(TARGET_VARIABLE, "")
    if not url:
        return "", ""
    from gridferry.cli.opening import require_password, target_of_url

    address = target_of_url(url)
    require_password(address)
    return url, address.password


class _Screen:
    """The `Audience` in front of a terminal."""

    def __init__(self, output: Output, page: Path) -> None:
        self._output = output
        self._page = page
        self._number = 0
        self._width = output.out.width - INDENT

    def step(self, line: str, *, command: str = "") -> None:
        """A numbered line, and the command that does the same."""
        self._number += 1
        self._output.show(Text(), Text.assemble((f"{self._number}. ", "bold cyan"), (line, "bold")))
        if command:
            self.command(command)

    def command(self, command: str) -> None:
        """A command, as it is typed."""
        self._output.show(Text.assemble((" " * INDENT + "$ ", "dim"), (command, "green")))

    def said(self, text: str) -> None:
        """Text, indented, after an empty line."""
        self._show(Text(), Text(text, style="yellow"))

    def waiting(self, text: str) -> AbstractContextManager[None]:
        """A spinner."""
        return self._output.waiting(text)

    def text(self, text: str) -> None:
        """Text, indented."""
        self._show(Text(text, style="dim"))

    def plan(self, plan: Plan) -> None:
        """The same as `gridferry plan`."""
        self._show(*plan_view(plan, width=self._width))

    @contextmanager
    def loading(self) -> Iterator[Listener]:
        """Progress, as `gridferry load` shows it."""
        with follow_load(self._output) as listener:
            yield listener

    def loaded(self, loads: list[TableLoad]) -> None:
        """The first line of what `gridferry load` shows; the counts follow with the verification."""
        self._show(*(headline(load) for load in loads))

    def verified(self, report: VerifyReport) -> None:
        """The same as `gridferry verify`."""
        from gridferry.cli.verify_view import report_view

        self._show(*report_view(report))

    def repaired(self, report: RepairReport) -> None:
        """What `gridferry repair` shows, without what `verify` has just shown."""
        from gridferry.cli.repair_view import repair_lines

        self._show(*repair_lines(report))

    def page(self, page: str) -> None:
        """Written to its file."""
        write_whole(self._page, page)
        self._show(Text(f"{self._page}, {numbers.size(len(page.encode()))}"))

    def synced(self, syncs: list[TableSync]) -> None:
        """The same as `gridferry sync`."""
        self._show(*sync_view(syncs))

    def rows(self, result: QueryResult) -> None:
        """The same as `gridferry tql`."""
        from gridferry.cli.query_commands import rows_text

        self._show(*rows_text(result, limit=FIRST_ROWS, width=self._width))

    def value(self, result: QueryResult) -> None:
        """The same as `gridferry tql`."""
        from gridferry.cli.query_commands import result_value, value_text

        self._show(value_text(result_value(result)))

    def _show(self, *renderables: RenderableType) -> None:
        for renderable in renderables:
            blank = isinstance(renderable, Text) and not renderable
            self._output.show(Text() if blank else Padding(renderable, (0, 0, 0, INDENT), expand=False))


def _closing(report: DemoReport, page: Path) -> Iterator[Text]:
    yield Text()
    yield Text.assemble("The report stays: open ", (str(page), "bold"), " in a browser.")
    yield Text()
    if report.kept:
        yield Text("Everything is still running. In your shell:", style="bold")
        for line in report.kept:
            yield Text(f"  {line}", style="green", no_wrap=True, overflow="ignore")
        return
    yield Text("The rest is gone again. Your own tables, in the same way:", style="bold")
    for command, comment in _NEXT:
        padded = f"  {command:<56} " if comment else f"  {command}"
        yield Text.assemble((padded, "green"), (comment, "dim"))
