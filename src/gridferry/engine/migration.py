"""The whole of gridferry behind one object: what the command line and Airflow call."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from typing_extensions import Self

from gridferry.engine.cutover.run import cut_over
from gridferry.engine.cutover.table import CutoverSettings
from gridferry.engine.events import Listener, ignore
from gridferry.engine.life.lives import Lives
from gridferry.engine.load.loads import Loads
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.planned_claims import with_claims
from gridferry.engine.planning import plan_all
from gridferry.engine.repair.repairs import Repairs
from gridferry.engine.repair.sources import Sources
from gridferry.engine.status.status import Status
from gridferry.engine.sync.syncs import Syncs
from gridferry.engine.verify.verifications import Verifications
from gridferry.errors import FerryError
from gridferry.model.cutover import NOTHING_ACCEPTED, Accepted, CutoverReport
from gridferry.plan.config import Config
from gridferry.plan.plan import Plan
from gridferry.source.postgres.session.blockers import DEFAULT_LIMIT_S


class Migration:
    """Tables of one PostgreSQL database on their way into one GridDB database. A context; connects when it must.

    What can be done is in `loads`, `syncs`, `lives`, `verifications`, `repairs`, `sources` and `status`, and what
    concerns all of them here. Tables are named as in the config; where none is named, all. `endpoints` are the source,
    the target and the config themselves.
    """

    def __init__(self, config: Config, *, listener: Listener = ignore, transactions_s: float = DEFAULT_LIMIT_S) -> None:
        self.endpoints = Endpoints(config, listener=listener, transactions_s=transactions_s)
        self.loads = Loads(self.endpoints)
        self.syncs = Syncs(self.endpoints)
        self.lives = Lives(self.endpoints)
        self.verifications = Verifications(self.endpoints)
        self.repairs = Repairs(self.endpoints)
        self.sources = Sources(self.endpoints)
        self.status = Status(self.endpoints)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FerryError):
            self.endpoints.session.complete_advice(error)
        self.close()

    def close(self) -> None:
        """Close the connections to the target."""
        self.endpoints.close()

    def plan(self, tables: Sequence[str] = ()) -> Plan:
        """What would be done, and everything found on the way, of all tables. Changes nothing; asks the target too.

        Raises: what concerns all tables alike; a table that cannot be read is in the plan's `unread`.
        """
        ends = self.endpoints
        made = plan_all(
            ends.source,
            ends.chosen(tables),
            slots=ends.slots_to_be,
            shared=ends.follows_many,
            target=str(ends.config.target),
            warnings=ends.tables.warnings,
            configured=ends.chosen(),
        )
        return with_claims(made, ends.session, ends.chosen(tables))

    def cutover(
        self, tables: Sequence[str] = (), *, wait_s: float = 0.0, accepted: Accepted = NOTHING_ACCEPTED
    ) -> CutoverReport:
        """Drain, verify, and say whether the application can be pointed at the target; see `CutoverSettings`."""
        ends = self.endpoints
        standing = ends.standing(tables, then="gridferry cutover")
        new = tuple(options.qualified for options in standing.new)
        settings = CutoverSettings(
            wait_s,
            accepted,
            ends.known(),
            new,
            left_out=standing.left_out,
            removed=standing.removed,
            unasked=standing.unasked,
        )
        # A paused table is not drained, also where it is named.
        present = [options for options in standing.tables if options.qualified not in standing.standings]
        return cut_over(ends, self.verifications, present, settings)
