"""What a viewer asks for: which target and table, which containers, in which order, which page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import urlencode

from gridferry.airflow.page.facts import ShownContainer
from gridferry.airflow.settings import GRIDDB_DEFAULT
from gridferry.model.verification import Verdict

SIZE = 25
MOST_SIZE = 100


class Only(str, Enum):
    """Which containers."""

    ALL = ""
    DIFFERS = "differs"
    UNVERIFIED = "unverified"
    HELD = "held"


class Order(str, Enum):
    """In which order; equal ones by name."""

    NEED = ""  # those that need a look first
    NAME = "name"
    LAST = "last"  # longest without a row from a sync first
    HELD = "held"  # most quarantined rows first
    ROWS = "rows"  # most rows first, as last verified


@dataclass(frozen=True)
class Choice:
    """The choice; also the query of the page's address. `q` is searched in names and split values."""

    connection: str = GRIDDB_DEFAULT
    table: str = ""
    q: str = ""
    only: Only = Only.ALL
    sort: Order = Order.NEED
    page: int = 1
    size: int = SIZE

    def link(self, **changes: Any) -> str:
        """The query of the page with some other wishes; what is as usual is left out. Another list begins at page 1."""
        wanted = replace(self, **{"page": 1, **changes})
        usual = asdict(Choice())
        return "?" + urlencode({k: _text(v) for k, v in asdict(wanted).items() if v != usual[k]})


@dataclass(frozen=True)
class ContainerPage:
    """One page of the containers that were found."""

    rows: tuple[ShownContainer, ...]
    found: int
    page: int
    pages: int


def page_of(containers: Sequence[ShownContainer], choice: Choice) -> ContainerPage:
    """The page that is asked for; the last one where it lies behind it."""
    wanted = choice.q.strip().casefold()
    found = [c for c in containers if _ONLY[choice.only](c) and _holds(c, wanted)]
    found.sort(key=lambda c: (_ORDER[choice.sort](c), c.name))
    pages = max(1, -(-len(found) // choice.size))
    page = min(choice.page, pages)
    return ContainerPage(tuple(found[(page - 1) * choice.size : page * choice.size]), len(found), page, pages)


def differs(container: ShownContainer) -> bool:
    """Whether the last verification found both sides different, or was not sure. Rows in quarantine are `held`."""
    return container.verdict in (Verdict.DIFFERENT.value, Verdict.UNSETTLED.value)


def _holds(container: ShownContainer, wanted: str) -> bool:
    return not wanted or wanted in container.name.casefold() or wanted in (container.value or "").casefold()


def _need(container: ShownContainer) -> tuple[int, int]:
    if differs(container):
        return 0, -container.differences
    if container.held:
        return 1, -container.held
    return (3, 0) if container.verdict else (2, 0)


def _text(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


_ONLY: dict[Only, Callable[[ShownContainer], bool]] = {
    Only.ALL: lambda c: True,
    Only.DIFFERS: differs,
    Only.UNVERIFIED: lambda c: not c.verdict,
    Only.HELD: lambda c: c.held > 0,
}
_ORDER: dict[Order, Callable[[ShownContainer], Any]] = {
    Order.NEED: _need,
    Order.NAME: lambda c: 0,
    Order.LAST: lambda c: c.last_written,
    Order.HELD: lambda c: -c.held,
    Order.ROWS: lambda c: -(c.verified_rows or 0),
}
