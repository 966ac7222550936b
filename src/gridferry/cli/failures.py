"""Errors for people and for programs: what happened, what state was left, the next step. Never a traceback for ours."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

from rich.text import Text

from gridferry.cli.log_lines import Severity
from gridferry.cli.output import Output
from gridferry.cli.tables import hanging
from gridferry.errors import DataError, FerryError, PlanError, StatementError, Transient

DEBUG_VARIABLE = "GRIDFERRY_DEBUG"
DEFECT_EXIT_CODE = 3
INTERRUPT_EXIT_CODE = 130


def show_failure(output: Output, error: FerryError) -> int:
    """Tell the user of `error`; returns the exit code it asks for."""
    if isinstance(error, Transient) and not error.next_step:
        error.next_step = "run the same command again"
    if output.as_json and not output.streaming:
        output.document(lambda: failure_document(error))
    else:
        print_failure(output, error)
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error, file=sys.stderr)
    return error.exit_code


def failure_document(error: FerryError) -> dict[str, Any]:
    """`{"error": {...}}`: type, message, problems, state, next_step, notes, exit_code, and whether to try again."""
    fields: dict[str, Any] = {
        "type": type(error).__name__,
        "message": error.message,
        "problems": list(error.problems) if isinstance(error, PlanError) else [],
        "state": error.state,
        "next_step": error.next_step,
        "notes": _notes(error),
        "exit_code": error.exit_code,
        "try_again": isinstance(error, Transient),
    }
    if isinstance(error, StatementError):
        fields["griddb_code"] = error.code
    if isinstance(error, DataError):
        fields |= {"table": error.table, "column": error.column, "row": error.row}
    return {"error": fields}


def show_defect(output: Output, error: Exception) -> int:
    """Tell the user of an error that nobody foresaw; returns the exit code.

    Its own text is left out: nobody has looked whether it can hold a password or a private value.
    """
    kind = type(error).__name__
    how = f"{DEBUG_VARIABLE}=1 shows the traceback; please report it"
    if output.as_json and not output.streaming:
        fields = {"type": kind, "message": "a defect of gridferry", "next_step": how, "exit_code": DEFECT_EXIT_CODE}
        output.document(lambda: {"error": fields})
    else:
        line = f"{kind}{_place(error)}: this is a defect of gridferry. {how}."
        if output.lines is not None:
            output.lines.say("failed", level=Severity.ERROR, error=kind, message=line)
            return DEFECT_EXIT_CODE
        output.err.print(Text.assemble(("error: ", "bold red"), line))
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error, file=sys.stderr)
    return DEFECT_EXIT_CODE


def print_failure(output: Output, error: FerryError) -> None:
    """The message, its problems as a list, then state and next step, each on lines of their own."""
    if output.lines is not None:
        kind, problems = type(error).__name__, getattr(error, "problems", ())
        said = "; ".join([error.message, *problems]) + (f". State: {error.state}." if error.state else ".")
        output.lines.say("failed", level=Severity.ERROR, error=kind, message=said, next_step=error.next_step)
        return
    first, *below = error.message.splitlines() or [""]
    output.err.print(Text.assemble(("error: ", "bold red"), first))
    for line in below:
        text = line.lstrip()
        output.err.print(hanging(line.removesuffix(text), text))
    for problem in error.problems if isinstance(error, PlanError) else ():
        output.err.print(hanging("  - ", problem))
    if isinstance(error, Transient):
        output.err.print(Text("This may pass: trying again later can help."))
    for label, sentence in (("State", error.state), ("Next", error.next_step)):
        if sentence:
            output.err.print(Text.assemble((f"{label}: ", "bold"), sentence))
    for note in _notes(error) if output.verbose else ():
        output.err.print(Text(f"note: {note}", style="dim"))


def _notes(error: BaseException) -> list[str]:
    return [str(note) for note in getattr(error, "__notes__", ())]


def _place(error: Exception) -> str:
    """Where it was raised, as ` in file.py, line n`."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
