"""`status --check`: one line for each thing that is wrong with a table, for a probe or a scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from rich.text import Text

from gridferry import numbers
from gridferry.cli.output import Output, plain

if TYPE_CHECKING:
    from gridferry.engine.status.check import Checked, Problem


def end_with_check(output: Output, checked: Checked) -> None:
    """Print what is wrong, or that nothing is. Raises: typer.Exit with the worst exit code."""
    output.document(lambda: check_document(checked))
    for problem in checked.problems:
        output.show_text(f"{' '.join(problem_line(problem).split())}\n")
    if not checked.problems:
        output.show(Text(f"ok: {numbers.plural(checked.tables, 'table')}", style="green"))
    if checked.exit_code:
        raise typer.Exit(checked.exit_code)


def check_document(checked: Checked) -> dict[str, Any]:
    """`{"ok": ..., "tables": N, "problems": [...], "exit_code": N}`."""
    return {
        "ok": not checked.problems,
        "tables": checked.tables,
        "problems": [plain(problem) for problem in checked.problems],
        "exit_code": checked.exit_code,
    }


def problem_line(problem: Problem) -> str:
    """`table: kind: what is wrong. Next: what to do`."""
    step = "" if problem.next_step in problem.message else f". Next: {problem.next_step}"
    return f"{problem.table}: {problem.kind.value}: {problem.message}{step}"
