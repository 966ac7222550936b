"""Errors of gridferry as Airflow understands them: one clear line; tried again only where that can help.

An error that is none of gridferry's is a mistake in the program: it keeps its traceback.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from gridferry.airflow.compat import AirflowException, AirflowFailException
from gridferry.errors import FerryError, PlanError, Transient
from gridferry.model.failed_tables import SomeTablesFailed

P = ParamSpec("P")
R = TypeVar("R")


class AskedToEnd(BaseException):
    """Raised in the midst of a task that is to end. Like Ctrl-C it is no error that some layer below may handle."""


def tells_airflow(step: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """A method that Airflow calls, its errors reported as by `told_to_airflow`.

    Airflow logs an error with its traceback. This one begins here, so what is above the line is Airflow's own, and
    nobody reads through our layers to find it. What was behind the error is logged at level debug.
    """

    @functools.wraps(step)
    def told(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return step(self, *args, **kwargs)
        except FerryError as error:
            self.log.debug("what was behind the error", exc_info=True)
            line = airflow_error(error)
        except AirflowException as error:
            line = error
        except AskedToEnd:
            line = AirflowException("Airflow asked the task to end; what is stored stays, another try goes on there")
        raise line.with_traceback(None) from None

    return told


@contextmanager
def told_to_airflow() -> Iterator[None]:
    """Raises: AirflowException for what may pass, which Airflow's retries are for; AirflowFailException for the rest.

    The one rule is the error's mark, as everywhere in gridferry: `Transient` is what the command line ends with 75 for.
    """
    try:
        yield
    except FerryError as error:
        raise airflow_error(error) from None


def airflow_error(error: FerryError) -> AirflowException:
    """The error with which a task ends, so that it is tried again or not."""
    kind = AirflowException if may_pass(error) else AirflowFailException
    return kind(one_line(error))


def may_pass(error: FerryError) -> bool:
    """Whether another try can help: of several failed tables, whether it can help one of them."""
    if isinstance(error, SomeTablesFailed):
        return any(isinstance(failed.error, Transient) for failed in error.failures)
    return isinstance(error, Transient)


def one_line(error: FerryError) -> str:
    """What happened, what state was left, and the next step, in one line. None of it holds a secret."""
    problems = error.problems if isinstance(error, PlanError) else ()
    parts = [error.message, *problems, error.state, f"next: {error.next_step}" if error.next_step else ""]
    return "; ".join(_joined(part) for part in parts if part)


def _joined(text: str) -> str:
    """The lines of a text as one: what a list of mistakes or libpq says in several stays apart."""
    first, *rest = (line for line in (" ".join(line.split()) for line in text.splitlines()) if line)
    return functools.reduce(
        lambda said, line: f"{said} {line}" if said[-1] in ":,-" else f"{said}; {line}", rest, first
    )
