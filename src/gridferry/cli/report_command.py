"""`gridferry report`: a page for people, or the same facts as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gridferry import numbers
from gridferry.cli import opening
from gridferry.cli.options import DEFAULT_CONFIG, ConfigFile, Tables, chosen
from gridferry.cli.output import Output, plain
from gridferry.errors import ConfigError
from gridferry.private_files import private_text

if TYPE_CHECKING:
    from gridferry.report.facts import ReportFacts

STDOUT = "-"
_STYLES = {"equal": "bold green", "different": "bold red", "failed": "bold red"}


class Form(str, Enum):
    """What is written."""

    HTML = "html"
    JSON = "json"


def report(
    output: Output,
    config: ConfigFile = DEFAULT_CONFIG,
    table: Tables = None,
    form: Annotated[
        Form, typer.Option("--format", metavar="html|json", help="A page for people, or its facts for programs.")
    ] = Form.HTML,
    to: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to; - is stdout. Without it gridferry-report.html or .json."
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask PostgreSQL: report what the target's state knows.")
    ] = False,
) -> None:
    """Write a report. What was moved, how it is followed and was checked, as one HTML page without network or as JSON.

    Exit code 0 says that the report was made and is whole, not that both sides are equal: `gridferry verify` says that.
    Where a table cannot be read, the report is written all the same, and the exit code is that of the worst table.

    Changes: the report's file; nothing in PostgreSQL, nothing in GridDB.
    """
    target = to or f"gridferry-report.{form.value}"
    if target == STDOUT and output.as_json:
        raise ConfigError("--output - and --json would both write to stdout", next_step="leave one of them out")
    path = None if target == STDOUT else writable(Path(target))
    rendered = _renderer(form)
    from gridferry.report.gather import gather_facts

    with opening.open_migration(config) as migration, output.waiting("counting both sides"):
        facts = gather_facts(migration, chosen(table), ask_source=not offline)
    text = rendered(facts)
    if path is None:
        sys.stdout.write(text)
    else:
        write_whole(path, text)
        _tell(output, facts, path, len(text.encode()), form)
    _tell_failures(output, facts)
    if facts.exit_code:
        raise typer.Exit(facts.exit_code)


def _tell(output: Output, facts: ReportFacts, path: Path, size: int, form: Form) -> None:
    output.document(
        lambda: {
            "file": str(path),
            "format": form,
            "bytes": size,
            "headline": facts.headline,
            "made_at": facts.made_at,
            "summary": {"failed": [table.table for table in facts.failed], "exit_code": facts.exit_code},
        }
    )
    output.show(Text(facts.headline.sentence, style=_STYLES.get(facts.headline.tone.value, "bold yellow")))
    if facts.source_note:
        output.warn(facts.source_note)
    output.show(Text(f"{path}, {numbers.size(size)}"))


def _tell_failures(output: Output, facts: ReportFacts) -> None:
    from gridferry.report.failures import not_whole

    for table in facts.failed:
        step = f" Next: {table.failure.next_step}." if table.failure is not None and table.failure.next_step else ""
        output.warn(f"The report is not whole: {not_whole(table)}.{step}")


def _renderer(form: Form) -> Callable[[ReportFacts], str]:
    """What makes a text of the facts. Raises: ConfigError if it needs a library that is not installed."""
    if form is Form.JSON:
        return lambda facts: json.dumps(plain(facts), ensure_ascii=False, indent=1) + "\n"
    try:
        from gridferry.report.page import render_page
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the page needs {error.name}, which is not installed",
            state="nothing was written",
            next_step="pip install 'gridferry[report]', or take --format json, which needs nothing more",
        ) from error
    return render_page


def writable(path: Path) -> Path:
    """`path`, if a file can be written there: checked before any work is done. Raises: ConfigError."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", next_step="name a file, such as --output report.html")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}", next_step="make it, or name another file")
    return path


def write_whole(path: Path, text: str) -> None:
    """Write the file whole or not at all: a reader of an older report never meets half of a new one.

    A pipe, a terminal or another device is written to: it must not be replaced. Where the name is a link, what it leads
    to is.
    """
    real = Path(os.path.realpath(path))
    special = real.exists() and not real.is_file()
    beside = real if special else real.with_name(f".{real.name}.part")
    try:
        with private_text(beside) as opened:
            opened.write(text)
        if not special:
            beside.replace(real)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", next_step="name another file with --output"
        ) from error
    finally:
        if not special:
            beside.unlink(missing_ok=True)
