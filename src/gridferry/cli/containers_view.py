"""The state of a table's containers, on a screen: those that need a look first, and no column that says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from itertools import accumulate
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from gridferry import numbers
from gridferry.cli.output import scalar
from gridferry.cli.tables import listing
from gridferry.model.moment import moment_of

if TYPE_CHECKING:
    from gridferry.engine.standing import ContainerState

MOST_CONTAINERS = 20
_LEAST_NAME = 18  # so much of a name is shown before any column beside it
_INDENT = 2
Column = tuple[str, Callable[["ContainerState"], str], bool]
_COLUMNS: tuple[Column, ...] = (
    ("rows", lambda c: "not there" if c.rows is None else numbers.count(c.rows), True),
    ("waiting", lambda c: "" if not c.waiting else numbers.count(c.waiting), True),
    ("written", lambda c: numbers.count(c.written) if c.written else "", True),
    ("deleted", lambda c: numbers.count(c.deleted) if c.deleted else "", True),
    ("aside", lambda c: numbers.count(c.quarantined) if c.quarantined else "", True),
    ("newest", lambda c: _newest(c), False),
    ("last", lambda c: _ago(c.last_written), False),
)


def containers_view(states: Sequence[ContainerState], *, limit: int, width: int) -> Iterator[RenderableType]:
    """A line for each of the first `limit` containers, and how many more there are; columns as far as there is room."""
    if not states:
        yield Text("  no containers", style="dim")
        return
    ordered = sorted(states, key=lambda c: (not _needs_a_look(c), c.name))
    shown = ordered[:limit]
    columns = [column for column in _COLUMNS if any(column[1](c) for c in shown)]
    longest = max(len(c.name) for c in shown)
    taken = _INDENT + min(longest, _LEAST_NAME)
    room = list(accumulate((_width(column, shown) for column in columns), initial=taken))[1:]
    columns = [column for column, until in zip(columns, room, strict=True) if until <= width]
    # What the columns leave is the names'.
    most = min(longest, max(_LEAST_NAME, width - _INDENT - sum(_width(column, shown) for column in columns)))
    rows = [[Text(_short(c.name, most)), *(Text(text(c)) for _, text, _ in columns)] for c in shown]
    right = [name for name, _, numeric in columns if numeric]
    yield Text()
    yield listing(["container", *(name for name, _, _ in columns)], rows, right=right, indent=_INDENT)
    if len(ordered) > limit:
        yield Text(f"  … {len(ordered) - limit:,} more; --limit, --match and --json show them", style="dim")


def _width(column: Column, states: Sequence[ContainerState]) -> int:
    """How wide a column is, the space before it included."""
    name, text, _ = column
    return 2 + max(len(name), *(len(text(c)) for c in states))


def _needs_a_look(state: ContainerState) -> bool:
    return bool(state.waiting or state.quarantined) or state.rows is None


def _newest(state: ContainerState) -> str:
    text = "" if state.newest is None else str(scalar(state.newest))
    return text[:16].replace("T", " ")


def _ago(stamp: str) -> str:
    if not stamp:
        return ""
    seconds = (datetime.now(timezone.utc) - moment_of(stamp)).total_seconds()
    return f"{numbers.duration(max(0.0, seconds))} ago"


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
