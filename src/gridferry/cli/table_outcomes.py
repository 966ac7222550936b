"""A command over several tables of which some fail: reported at once and again at the end, and the worst exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gridferry.cli.failures import failure_document, print_failure
from gridferry.cli.output import Output
from gridferry.errors import FerryError
from gridferry.model.failed_tables import SomeTablesFailed, worst

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener, TablesLeft

R = TypeVar("R")


def kept_going(call: Callable[[], R]) -> tuple[R, SomeTablesFailed | None]:
    """What a call did to the tables that did not fail, and the error that names the others, where some did."""
    try:
        return call(), None
    except SomeTablesFailed as failed:
        return failed.done, failed


def show_failed(output: Output, *errors: FerryError | None) -> None:
    """Print what failed, after what was done; nothing in JSON mode, whose document has it."""
    for error in errors:
        if error is not None and not output.as_json:
            print_failure(output, error)


def code_of(*errors: FerryError | None, codes: Iterable[int] = ()) -> int:
    """The worst exit code of what failed and of what was done."""
    return worst([*codes, *(error.exit_code for error in errors if error is not None)])


def tables_document(done: Sequence[dict[str, Any]], failed: SomeTablesFailed | None) -> dict[str, Any]:
    """`{"tables": [...], "summary": {...}}`: a document for each table, whatever became of it."""
    return {"tables": [*done, *failed_documents(failed)], "summary": summary_document(done, failed)}


def failed_documents(failed: SomeTablesFailed | None) -> list[dict[str, Any]]:
    """A document for each table that failed or was not tried: table, outcome, error, next_step."""
    if failed is None:
        return []
    documents: list[dict[str, Any]] = []
    for each in failed.failures:
        error = failure_document(each.error)["error"]
        documents.append({"table": each.table, "outcome": "failed", "error": error, "next_step": error["next_step"]})
    documents += [{"table": name, "outcome": "not tried", "error": None, "next_step": ""} for name in failed.not_tried]
    return documents


def summary_document(done: Sequence[dict[str, Any]], failed: SomeTablesFailed | None) -> dict[str, Any]:
    """How many tables were done, which failed, which were not tried, and what the failures ask for."""
    return {
        "done": len(done),
        "failed": [each.table for each in failed.failures] if failed else [],
        "not_tried": list(failed.not_tried) if failed else [],
        "state": failed.state if failed else "",
        "next_step": failed.next_step if failed else "",
        "exit_code": failed.exit_code if failed else 0,
    }


def telling(output: Output, listener: Listener | None = None) -> Listener:
    """A listener that reports a table that failed at once, and hands everything on to `listener`."""
    from gridferry.engine.events import TableFailed, TablesLeft

    def hear(event: Event) -> None:
        if isinstance(event, TableFailed) and event.others and output.lines is None:
            said = "; ".join(line.strip() for line in event.error.message.splitlines())
            step = f" Next: {event.error.next_step}." if event.error.next_step else ""
            output.warn(f"{event.table}: failed to {event.doing}: {said}.{step} The other tables go on.")
        elif isinstance(event, TablesLeft):
            output.left = _left(event)
        if listener is not None:
            listener(event)

    return hear


def warnings(output: Output) -> Listener:
    """A listener that shows warnings only, and tables that failed."""
    from gridferry.engine.events import Level, Note

    def hear(event: Event) -> None:
        if isinstance(event, Note) and event.level is Level.WARNING:
            output.warn(f"{event.table}: {event.message}")

    return telling(output, hear)


def _left(event: TablesLeft) -> str:
    """What became of the tables of a command that a signal ended."""
    parts = [f"{event.deed.done}: {', '.join(event.finished) or 'none'}"]
    if event.failures:
        parts.append(f"failed: {', '.join(each.table for each in event.failures)}")
    parts.append(f"interrupted: {event.at}")
    if event.not_tried:
        parts.append(f"not tried: {', '.join(event.not_tried)}")
    return "; ".join(parts)
