"""What the page shows: frozen dataclasses, ready to become JSON. Times are ISO 8601, UTC; None is "not known"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gridferry.engine.standing import SyncStatus
from gridferry.model.coverage import Coverage
from gridferry.plan.plan import TablePlan
from gridferry.report.facts import Headline, LoadFacts


@dataclass(frozen=True)
class RowsAt:
    """A table's rows at one time. At the end of a load only the target's are known: some may have been quarantined."""

    at: str
    source: int | None
    target: int


@dataclass(frozen=True)
class ShownContainer:
    """One container, as the target's state has it.

    `verdict`, `differences`, `source_rows` and `verified_rows` (of the container) are those of the table's last
    verification; "" or None where it does not have them: of a fleet it keeps the numbers of 1,000 containers. `written`
    and `deleted` count the syncs since the load, `last_written` is the last of them; `held` rows are quarantined.
    """

    name: str
    value: str | None
    verdict: str = ""
    differences: int = 0
    note: str = ""
    source_rows: int | None = None
    verified_rows: int | None = None
    written: int = 0
    deleted: int = 0
    last_written: str = ""
    held: int = 0


@dataclass(frozen=True)
class ShownTable:
    """One table. `source_rows` and `target_rows` were counted by the last verification, else `target_rows` by the load.

    `rows_at` says when that was, `rows_by` is verify or load. `lag_s` is the age of the state that the target shows,
    None where no sync has run. `coverage` has the columns and rows of the last verification, without one the columns of
    the plan. `differing`, `unverified` and `holding` (quarantined rows) count containers.
    """

    table: str
    headline: Headline
    load: LoadFacts
    sync: SyncStatus | None = None
    lag_s: float | None = None
    source_rows: int | None = None
    target_rows: int | None = None
    rows_at: str = ""
    rows_by: str = ""
    verified_at: str = ""
    verified_lsn: str = ""
    verified_depth: str = ""
    verdict: str = ""
    held: int = 0
    containers: int = 0
    differing: int = 0
    unverified: int = 0
    holding: int = 0
    held_by: str = ""
    rows: tuple[RowsAt, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: Coverage | None = None


@dataclass(frozen=True)
class TableWithContainers:
    """A table with what the page chooses from: its containers by name, and its plan, None where it has none."""

    facts: ShownTable
    containers: tuple[ShownContainer, ...] = ()
    plan: TablePlan | None = None


@dataclass(frozen=True)
class TargetFacts:
    """Everything that a target's state says; the tables that need a look first. `target` is without secrets."""

    target: str
    read_at: str
    tables: tuple[TableWithContainers, ...] = ()


@dataclass(frozen=True)
class LiveFacts:
    """What one container holds now. `newest` is its greatest key; `series` are its rows by time, oldest first."""

    rows: int
    newest: str = ""
    series: tuple[int, ...] = ()


@dataclass(frozen=True)
class LiveCounts:
    """The containers that are shown, counted now, by name; those that are not there are missing.

    Bucket i of each series begins at `start` plus i times `width_s` seconds; 0 where the key has no time. `slow`: there
    are no series, as the rows alone took long.
    """

    counted_at: str
    newest_of: str = ""
    start: str = ""
    end: str = ""
    width_s: int = 0
    containers: dict[str, LiveFacts] | None = None
    problem: str = ""
    slow: bool = False


@dataclass(frozen=True)
class ContainerRow:
    """A container as it is shown: what is known of it, and what it holds now (None: not there, or not counted)."""

    facts: ShownContainer
    live: LiveFacts | None


@dataclass(frozen=True)
class Problem:
    """Why there is nothing to see, in one sentence, and what to do. `status` is what a program is answered with.

    `public`: it names nothing that only some may know.
    """

    sentence: str
    next_step: str
    status: int
    public: bool = False


@dataclass(frozen=True)
class PageFacts:
    """The whole page. `found` containers match the choice, of which `rows` are on page `page` of `pages`."""

    made_at: str
    connection: str
    connections: tuple[str, ...]
    problem: Problem | None = None
    target: str = ""
    read_at: str = ""
    headline: Headline | None = None
    tables: tuple[ShownTable, ...] = ()
    table: str = ""
    found: int = 0
    page: int = 1
    pages: int = 1
    rows: tuple[ContainerRow, ...] = ()
    counted: LiveCounts | None = None


_HIDDEN = "GridDB cannot be read."
_ASK = "ask somebody who may see the connection: this page says why"


def figures_only(facts: PageFacts) -> PageFacts:
    """The page for somebody who may not read its connection: no address, no user, no other connection.

    Why GridDB cannot be read is not said either: errors name nodes, users and databases.
    """
    problem, counted = facts.problem, facts.counted
    if problem is not None and not problem.public:
        problem = Problem(_HIDDEN, _ASK, problem.status)
    if counted is not None and counted.problem:
        counted = replace(counted, problem=_HIDDEN)
    return replace(facts, connections=(), target="", problem=problem, counted=counted)
