"""What every command shares: --json, --quiet and -v, and the way from an exception to an exit code."""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.text import Text

from gridferry.cli.failures import INTERRUPT_EXIT_CODE, show_defect, show_failure
from gridferry.cli.output import Output
from gridferry.cli.streams import ResultLost, drop_what_follows
from gridferry.errors import FerryError

PIPE_CLOSED_EXIT_CODE = 141  # what a shell shows for a program that SIGPIPE ended
TERMINATED_EXIT_CODE = 143

_SHARED = {
    "as_json": Annotated[
        bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")
    ],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")],
    "verbose": Annotated[bool, typer.Option("--verbose", "-v", help="Show the notes of an error.")],
}


class Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, with its own exit code."""


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, whose first parameter is an `Output`, in the form that Typer takes.

    The `Output` is made from the shared options, which are added to the command's own. An error that the command raises
    is shown, and becomes the exit code.
    """

    @functools.wraps(command)
    def run(**options: Any) -> None:
        output = Output(**{name: options.pop(name) for name in _SHARED})
        code = _run(command, output, options)
        if code:
            raise typer.Exit(code)

    # Not typing.get_type_hints: on Python 3.10 it wraps what has the default None, which hides the option from Typer.
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in _SHARED.items()
    ]
    del run.__dict__["__wrapped__"]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _run(command: Callable[..., None], output: Output, options: dict[str, Any]) -> int:
    """Run a command; returns its exit code."""
    try:
        with _warnings_to(output):
            return _told(command, output, options)
    except ResultLost as error:
        drop_what_follows(sys.stdout)
        output.streaming = True  # stdout takes no document that tells of it either
        return show_failure(output, error)


@contextmanager
def _warnings_to(output: Output) -> Iterator[None]:
    """What the driver warns of, as the command's own warnings."""
    log = logging.getLogger("gridferry")
    handler = _Warner(output)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _Warner(logging.Handler):
    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        self._output.warn(record.getMessage())


def _told(command: Callable[..., None], output: Output, options: dict[str, Any]) -> int:
    try:
        command(output, **options)
    except ResultLost:
        raise
    except FerryError as error:
        return show_failure(output, error)
    except typer.Exit as stop:
        return int(stop.exit_code)
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):  # Python would complain once more when it flushes them at its end
            drop_what_follows(stream)
        return PIPE_CLOSED_EXIT_CODE
    except (KeyboardInterrupt, typer.Abort) as stop:
        if output.lines is not None:
            output.warn(output.interrupted + (f" State: {output.left}" if output.left else ""))
        else:
            output.err.print(Text(output.interrupted, style="yellow"))
        if output.left and output.lines is None:
            output.err.print(Text.assemble(("State: ", "bold"), output.left))
        return TERMINATED_EXIT_CODE if isinstance(stop, Terminated) else INTERRUPT_EXIT_CODE
    except Exception as error:
        return show_defect(output, error)
    return 0
