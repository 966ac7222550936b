"""Errors of gridferry as Airflow understands them: one clear line; tried again only where that can help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gridferry.airflow.compat import AirflowException, AirflowFailException
from gridferry.errors import FerryError, PlanError, Transient


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
    kind = AirflowException if isinstance(error, Transient) else AirflowFailException
    return kind(one_line(error))


def one_line(error: FerryError) -> str:
    """What happened, what state was left, and the next step, in one line. None of it holds a secret."""
    problems = error.problems if isinstance(error, PlanError) else ()
    parts = [error.message, *problems, error.state, f"next: {error.next_step}" if error.next_step else ""]
    return "; ".join(" ".join(part.split()) for part in parts if part)
