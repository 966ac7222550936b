"""Where a table is on its way from the source into the target and in step with it, after PostgreSQL's own words."""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.model.word import Word


class Stage(Word):
    """Where a table is. PostgreSQL's subscriptions know init, data copy, synchronised and ready of their tables."""

    PLANNED = "planned"  # nothing of it is loaded
    COPY = "copy"  # its load is under way, or was interrupted
    LOADED = "loaded"  # and the config does not ask for more
    CATCH_UP = "catch up"  # it is loaded, and not followed with the others yet
    IN_STEP = "in step"  # every run brings what was committed since the last
    APART = "apart"  # it cannot go on by itself
    RESYNC = "resync"  # it is being brought back, or that was interrupted
    PAUSED = "paused"
    REMOVED = "removed"  # it is not followed any more, by somebody's wish
    GONE = "gone"  # from the source


@dataclass(frozen=True)
class TableLife:
    """The stage of a table; since when (ISO 8601, UTC, "" where that is not known), and why, "" where that is plain."""

    stage: Stage
    since: str = ""
    reason: str = ""


NO_LIFE = TableLife(Stage.PLANNED)
