"""A table that cannot be reported, or not whole: its failure is a part of the report."""

from __future__ import annotations

from gridferry.errors import FerryError, Transient
from gridferry.model.failed_tables import Deed
from gridferry.model.outcomes import LoadState
from gridferry.report.facts import FailureFacts, Headline, LoadFacts, TableFacts, Tone

REPORT = Deed("report on", "reported", "then `gridferry report` again")


def failure_facts(error: FerryError, *, nothing_told: bool) -> FailureFacts:
    """What an error says, as facts."""
    return FailureFacts(
        type=type(error).__name__,
        message=error.message,
        state=error.state,
        next_step=error.next_step,
        exit_code=error.exit_code,
        try_again=isinstance(error, Transient),
        nothing_told=nothing_told,
    )


def untold(table: str, error: FerryError) -> TableFacts:
    """A table that an error kept from being read at all."""
    headline = Headline(Tone.FAILED, f"Nothing can be reported: {error.message}.", error.next_step)
    return TableFacts(
        table, headline, LoadFacts(LoadState.NOT_READABLE), failure=failure_facts(error, nothing_told=True)
    )


def not_looked_at(table: str, error: FerryError) -> TableFacts:
    """A table that was not come to: `error` concerns all tables, and ended the reading before."""
    sentence = f"Nothing can be reported: the table was not looked at, because of an error before it: {error.message}."
    failure = failure_facts(error, nothing_told=True)
    return TableFacts(
        table, Headline(Tone.FAILED, sentence, error.next_step), LoadFacts(LoadState.NOT_READABLE), failure=failure
    )


def not_whole(table: TableFacts) -> str:
    """Why a table is not reported whole, in one line; "" where it is."""
    if table.failure is None:
        return ""
    what = "" if table.failure.nothing_told else "a part is left out: "
    return f"{table.table}: {what}{table.failure.message}"
