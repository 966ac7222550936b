"""Several tables, of which some failed: what each came to, and what that makes of the whole run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gridferry.errors import FerryError, Terminal, Transient

# The worst first: permanent failure, usage error, temporary failure, differences found, done. docs/adr/0021 says why.
BADNESS = (3, 2, 75, 1, 0)
_SHOWN = 10


@dataclass(frozen=True)
class FailedTable:
    """One of several tables that could not be done; `error` has its message, state and next step."""

    table: str
    error: FerryError


@dataclass(frozen=True)
class Deed:
    """What is done to tables, in words: `verb` as in `load`, `done` as in `loaded`, `again` closes the advice."""

    verb: str
    done: str
    again: str = "then run the same command again"


class SomeTablesFailed(FerryError):
    """Some of several tables could not be done; the others were.

    `done` is what the call returns where nothing fails, without the failed tables; `finished` names its tables,
    `not_tried` those after an error that concerns all tables alike. `exit_code` is the worst of all tables'.
    """

    def __init__(
        self,
        deed: Deed,
        failures: Sequence[FailedTable],
        *,
        done: Any,
        finished: Sequence[str],
        not_tried: Sequence[str] = (),
        codes: Iterable[int] = (),
    ) -> None:
        of = len(failures) + len(finished) + len(not_tried)
        lines = [f"{len(failures)} of {of} tables failed to {deed.verb}"]
        for failed in failures[:_SHOWN]:
            lines.append(f"  - {failed.table}: {_sentence(failed.error)}")
        if len(failures) > _SHOWN:
            lines.append(f"  - and {len(failures) - _SHOWN:,} more; --json lists all")
        super().__init__(
            "\n".join(lines),
            state=_state(deed, failures, finished, not_tried),
            next_step=f"see the next step of each failed table, {deed.again}",
        )
        self.failures = tuple(failures)
        self.finished = tuple(finished)
        self.not_tried = tuple(not_tried)
        self.done = done
        self.exit_code = worst([*codes, *(failed.error.exit_code for failed in failures)])


class TablesFailed(Terminal, SomeTablesFailed):
    """At least one table has a permanent failure."""


class TablesPostponed(Transient, SomeTablesFailed):
    """What failed may pass: the same call may succeed later."""


def tables_failed(
    deed: Deed,
    failures: Sequence[FailedTable],
    *,
    done: Any,
    finished: Sequence[str],
    not_tried: Sequence[str] = (),
    codes: Iterable[int] = (),
) -> SomeTablesFailed:
    """The error for `failures`: transient where all of them are. Args: `codes` are those that `done` asks for."""
    passing = all(isinstance(failed.error, Transient) for failed in failures)
    kind = TablesPostponed if passing else TablesFailed
    return kind(deed, failures, done=done, finished=finished, not_tried=not_tried, codes=codes)


def worst(codes: Iterable[int]) -> int:
    """The worst of exit codes: 3 before 2, 75, 1 and 0; one that is none of these counts as 3."""
    return min(codes, key=lambda code: BADNESS.index(code) if code in BADNESS else 0, default=0)


def _sentence(error: FerryError) -> str:
    problems = getattr(error, "problems", ())
    said = error.message.replace("\n", "\n    ") + (f": {'; '.join(problems)}" if problems else "")
    state = f"\n    State: {error.state}" if error.state else ""
    return said + state + (f"\n    Next: {error.next_step}" if error.next_step else "")


def _state(deed: Deed, failures: Sequence[FailedTable], finished: Sequence[str], not_tried: Sequence[str]) -> str:
    parts = [f"{deed.done}: {_listed(finished) if finished else 'none'}"]
    parts.append(f"failed: {_listed([failed.table for failed in failures])}")
    if not_tried:
        parts.append(f"not tried: {_listed(not_tried)}")
    return "; ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
