"""From a choice to the facts of its page. Nothing that a target does or does not answer gets further than here."""

from __future__ import annotations

from gridferry.airflow.page.answers import Answers, StillAsking
from gridferry.airflow.page.choice import Choice, ContainerPage, page_of
from gridferry.airflow.page.facts import (
    ContainerRow,
    LiveCounts,
    PageFacts,
    Problem,
    TableWithContainers,
    TargetFacts,
)
from gridferry.airflow.page.reading import count_containers, read_target
from gridferry.airflow.page.targets import NoConnection, address_of
from gridferry.checkpoint.documents import utc_now
from gridferry.errors import CheckpointError, ConfigError, FerryError
from gridferry.model.database_verdict import snapshots_words
from gridferry.model.moment import shown
from gridferry.report.database import is_behind, stage_sentences
from gridferry.report.facts import Headline, Tone

_NOT_FOUND, _UNPROCESSABLE, _UNAVAILABLE = 404, 422, 503
_SLOW = Problem(
    "GridDB has not answered yet; it is being waited for.", "Look again in a few seconds.", _UNAVAILABLE, public=True
)
_NOTHING = Headline(Tone.UNFINISHED, "Nothing was loaded into this database yet.", "turn the initial DAG on")


class PageService:
    """Answers choices. One for the whole process: its answers are shared by all who look."""

    def __init__(self, targets: Answers[TargetFacts] | None = None, counts: Answers[LiveCounts] | None = None) -> None:
        self._targets = targets or Answers()
        self._counts = counts or Answers()

    def page(self, choice: Choice, connections: tuple[str, ...]) -> PageFacts:
        """The facts of a page; where there are none, the problem. `connections` are offered to be chosen from."""
        name = choice.connection
        blank = PageFacts(utc_now(), name, tuple(sorted({*connections, name})))
        try:
            # The address too is looked up in there: a secrets backend may be as slow as a database.
            target = self._targets.get(name, lambda: read_target(address_of(name)))
        except StillAsking:
            return _with_problem(blank, _SLOW)
        except FerryError as error:
            if isinstance(error, NoConnection):
                blank = PageFacts(utc_now(), name, connections)
            return _with_problem(blank, _problem(error))
        return self._filled(blank, target, choice)

    def close(self) -> None:
        """Let what is under way end."""
        self._targets.close()
        self._counts.close()

    def _filled(self, blank: PageFacts, target: TargetFacts, choice: Choice) -> PageFacts:
        chosen = _chosen(target, choice.table)
        part = page_of(chosen.containers if chosen is not None else (), choice)
        counted = None if chosen is None or not part.rows else self._counted(choice.connection, chosen, part)
        live = (counted.containers if counted is not None else None) or {}
        return PageFacts(
            made_at=blank.made_at,
            connection=blank.connection,
            connections=blank.connections,
            target=target.target,
            read_at=target.read_at,
            headline=_headline(target),
            tables=tuple(standing.facts for standing in target.tables),
            table="" if chosen is None else chosen.facts.table,
            found=part.found,
            page=part.page,
            pages=part.pages,
            rows=tuple(ContainerRow(facts, live.get(facts.name)) for facts in part.rows),
            counted=counted,
        )

    def _counted(self, connection: str, chosen: TableWithContainers, part: ContainerPage) -> LiveCounts | None:
        plan = chosen.plan
        if plan is None:
            return None
        names = tuple(container.name for container in part.rows)
        key = (connection, chosen.facts.table, names)
        try:
            return self._counts.get(key, lambda: count_containers(address_of(connection), plan, names))
        except StillAsking:
            return LiveCounts("", problem=_SLOW.sentence)
        except FerryError as error:
            return LiveCounts("", problem=error.message)


def _chosen(target: TargetFacts, wanted: str) -> TableWithContainers | None:
    """The table that is asked for; without a wish, or for one that is not there, the first that needs a look."""
    by_name = {standing.facts.table: standing for standing in target.tables}
    return by_name.get(wanted) or next(iter(target.tables), None)


def _headline(target: TargetFacts) -> Headline:
    """The worst of the tables', and how many are as they should be."""
    if not target.tables:
        return _NOTHING
    worst = target.tables[0].facts
    if len(target.tables) == 1:
        return worst.headline
    tables = [t.facts for t in target.tables]
    stages = "".join(f" {sentence}" for sentence in stage_sentences(tables))
    equal = sum(t.headline.tone is Tone.EQUAL for t in tables)
    if worst.headline.tone is not Tone.EQUAL:
        sentence = f"{worst.table}: {worst.headline.sentence}"
        return Headline(
            worst.headline.tone,
            f"{sentence} {equal} of {len(tables)} tables are proven equal.{stages}",
            worst.headline.next_step,
        )
    states = sorted({(t.verified_at, t.verified_lsn) for t in tables})
    said = f"All {equal} tables were equal when last verified, the oldest at {shown(states[0][0])} UTC."
    if len(states) == 1:
        said = f"Database equal as of {snapshots_words(states)}: {equal} tables."
    if any(is_behind(t) for t in tables):
        return Headline(
            Tone.INCOMPLETE,
            f"{said}{stages}",
            "gridferry status, which says what brings the tables back",
        )
    return Headline(Tone.EQUAL, said + stages)


def _with_problem(blank: PageFacts, problem: Problem) -> PageFacts:
    return PageFacts(blank.made_at, blank.connection, blank.connections, problem=problem)


def _problem(error: FerryError) -> Problem:
    status = _UNAVAILABLE
    if isinstance(error, NoConnection):
        status = _NOT_FOUND
    elif isinstance(error, ConfigError | CheckpointError):
        status = _UNPROCESSABLE
    return Problem(error.message, error.next_step, status, public=isinstance(error, NoConnection))
