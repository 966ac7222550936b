"""What mode cdc looks after at the source before and beside the stream: the server, publications, slot, and kept log.

The application comes first: a table that lost its replica identity is taken out of the publication of updates and
deletes before anything else is asked, since PostgreSQL refuses the application's own until then.
"""

from __future__ import annotations

import time
from dataclasses import replace

from gridferry.checkpoint.positions import CdcRecord
from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.events import Level, Listener, Note, SlotSeen
from gridferry.engine.ownership.lineage import left_before, other_log
from gridferry.engine.slots import LogHolder, guard
from gridferry.engine.sync.cdc.gaps import UNSEEN
from gridferry.errors import CheckpointError, SlotLost, SourceError
from gridferry.model.moment import shown
from gridferry.model.position import LogOrigin, Lsn
from gridferry.model.publishing import ChangeAccess, Published, Publishing
from gridferry.plan.cdc import cdc_findings
from gridferry.plan.keys import choose_key
from gridferry.plan.plan import Finding, Severity, TablePlan
from gridferry.plan.sync_options import SyncMode, SyncOptions
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.replication_session import WAY_BACK
from gridferry.source.postgres.slots.publications import Membership, Publication
from gridferry.source.postgres.slots.slots import SlotFacts
from gridferry.source.postgres.source import PostgresSource

EVERY_S = 10.0
HARMED = (
    "it lost its replica identity while its updates were published, and PostgreSQL refuses the application's UPDATE "
    "and DELETE on it"
)


class SlotLook:
    """What the server says of itself and of one slot: asked once a round, for all tables that share the slot."""

    def __init__(self, feed: ChangeFeed, slot: str) -> None:
        self._feed = feed
        self._slot = slot
        self._origin: LogOrigin | None = None
        self._facts: SlotFacts | None = None
        self._publications: list[Publication] | None = None
        self._checked: set[Lsn] = set()
        self._looked_at = 0.0
        self.holder: LogHolder | None = None  # of the log that the slot keeps

    def again(self, *, every_s: float) -> bool:
        """Begin another round, not within `every_s` of the last. Returns: whether it began."""
        if self._looked_at and time.monotonic() - self._looked_at < every_s:
            return False
        self._looked_at = time.monotonic()
        self._origin, self._facts, self._publications = None, self._feed.facts(self._slot), None
        self._checked.clear()
        return True

    @property
    def origin(self) -> LogOrigin:
        """Whose log is read. Raises: SourceRefused, SourceUnreachable."""
        if self._origin is None:
            self._origin = self._feed.origin()
        return self._origin

    @property
    def facts(self) -> SlotFacts | None:
        """The slot at the beginning of the round; None where there is none."""
        return self._facts

    def membership(self, plan: TablePlan) -> Membership | None:
        """See `ChangeFeed.membership`. What the publications hold is asked for once a round: it is all tables."""
        if self._publications is None:
            self._publications = self._feed.publications(self._slot)
        return self._feed.membership(self._slot, schema=plan.schema, table=plan.table, known=self._publications)

    def check(self, start: Lsn) -> None:
        """See `ChangeFeed.check`."""
        if start not in self._checked:
            self._feed.check(self._slot, start=start)
            self._checked.add(start)


class SourceWatch:
    """The watch over one table's source, for one run."""

    def __init__(self, source: PostgresSource, options: TableOptions, tell: Listener) -> None:
        self._source = source
        self._feed = ChangeFeed(source.address)
        self._options = options
        self._sync = options.sync or SyncOptions(mode=SyncMode.CDC)
        self._tell = tell
        self._log_end: Lsn | None = None

    def begin(self, run: LoadRun, plan: TablePlan, record: CdcRecord, look: SlotLook) -> CdcRecord:
        """Return the record if the stream can go on where it says.

        Raises: CheckpointError for another server; SlotLost; DataError from `stop_lag` on; SourceError.
        """
        origin = look.origin
        self._require_same_server(run, record, origin)
        record = self._published(run, plan, record, look)
        moved = record.origin is not None and record.origin != origin
        try:
            look.check(record.position)
        except SlotLost as error:
            if not moved:
                raise
            raise SlotLost(
                f"{error.message}; the source failed over to timeline {origin.timeline}, and a slot comes along only "
                "as a failover slot (PostgreSQL 17 and newer)",
                state=error.state,
                next_step=error.next_step,
            ) from error
        self._look(run, look.facts, look.holder)
        if moved:
            self._warn(
                run,
                f"the source writes timeline {origin.timeline} now: it failed over or was restored. Its log holds all "
                "that was stored, and its slot is there: the sync goes on",
            )
        return replace(record, origin=origin)

    def again(self, run: LoadRun, plan: TablePlan, record: CdcRecord, look: SlotLook) -> CdcRecord:
        """The same beside the stream: publications, and the log that is kept."""
        record = self._published(run, plan, record, look)
        self._look(run, look.facts, look.holder)
        return record

    def why_lost(self, run: LoadRun, plan: TablePlan, record: CdcRecord) -> str:
        """Why the stream cannot go on at the record's position, or "" where it can. Changes nothing.

        Raises: SourceRefused where the slot is somebody else's; SourceError.
        """
        try:
            self._require_same_server(run, record, self._feed.origin())
            self._feed.check(run.slot, start=record.position)
        except (CheckpointError, SlotLost) as error:
            return error.message
        found = self._feed.membership(run.slot, schema=plan.schema, table=plan.table)
        if found is None or found.harmful or not found.mend:
            return ""
        return f"the publications of the slot {run.slot} were changed by somebody"

    @property
    def has_log_end(self) -> bool:
        """Whether `new_log_end` has one to tell."""
        return self._log_end is not None

    def new_log_end(self) -> Lsn | None:
        """Where the source's log ended at the last look; None if nobody looked since this was asked before."""
        end, self._log_end = self._log_end, None
        return end

    def _look(self, run: LoadRun, facts: SlotFacts | None, holder: LogHolder | None) -> None:
        self._log_end = None if facts is None else facts.current
        if facts is not None:
            self._tell(
                SlotSeen(
                    run.table,
                    run.slot,
                    str(facts.current),
                    kept_bytes=facts.kept_bytes,
                    safe_bytes=facts.safe_bytes,
                    wal_status=facts.wal_status or "",
                )
            )
        for warning in guard(facts, self._sync, holder):
            self._warn(run, warning)

    def _require_same_server(self, run: LoadRun, record: CdcRecord, origin: LogOrigin) -> None:
        """Raises: CheckpointError for another cluster; SlotLost if the log left ours before what was stored."""
        before = record.origin
        loaded_from = "" if run.snapshot is None else run.snapshot.origin.partition("/")[0]
        system = loaded_from if before is None else before.system
        if system and system != origin.system:
            raise other_log(system, origin.system, options=self._options)
        if before is None or before.timeline == origin.timeline:
            return
        ended = self._feed.timeline_ends(origin.timeline).get(before.timeline) if origin.timeline > 1 else None
        if ended is not None and ended >= record.position:
            return
        raise SlotLost(
            left_before(origin.timeline, before.timeline, ended, record.position),
            state=f"the target of {run.table} holds changes that the source has lost",
            next_step=f"{WAY_BACK}; both take the source as it is now",
        )

    def _published(self, run: LoadRun, plan: TablePlan, record: CdcRecord, look: SlotLook) -> CdcRecord:
        """Let the publications be right for the table's identity as it is now."""
        found = look.membership(plan)
        if found is None:  # the check of the slot tells what that means
            return record
        if found.harmful:
            self._free(run, plan, found.publishing)
            return record
        if found.mend:
            raise SlotLost(
                f"the publications of the slot {run.slot} were changed by somebody: they leave out changes of "
                f"{run.table}",
                state="changes made since then may be missing in the target; nothing was changed now",
                next_step=f"run {found.mend} in the source, then `gridferry sync` and `gridferry repair`; "
                f"or {WAY_BACK}",
            )
        if found.published is Published.INSERTS and found.publishing.published is Published.ALL:
            return self._complete(run, plan, record, found)
        return record

    def _free(self, run: LoadRun, plan: TablePlan, publishing: Publishing) -> None:
        try:
            self._feed.publish(run.slot, add=[(plan.schema, plan.table)])
        except SourceError as error:
            error.add_note(HARMED)
            raise
        self._warn(
            run,
            f"{HARMED}. It was taken out of the publication of updates and deletes: they work again, and are not "
            f"followed any more. Nothing is missing: those before were refused. For updates and deletes to be followed "
            f"again: {publishing.advice}",
        )

    def _complete(self, run: LoadRun, plan: TablePlan, record: CdcRecord, found: Membership) -> CdcRecord:
        """Publish all of a table that has got an identity, if the identity serves."""
        problems = self.problems(plan, ChangeAccess(found.publishing))
        if problems:
            self._warn(
                run,
                f"it has a replica identity now, but only its inserts can be followed: {problems[0].message} "
                f"({problems[0].advice})",
            )
            return record
        self._feed.publish(run.slot, add=[(plan.schema, plan.table)])
        horizon, unseen = self._feed.horizon()
        self._warn(
            run,
            f"it has a replica identity now: its updates and deletes are followed from here on. "
            f"{UNSEEN.format(shown(unseen))}",
        )
        return replace(record, unseen=unseen, unseen_horizon=horizon)

    def problems(self, plan: TablePlan, access: ChangeAccess) -> list[Finding]:
        """Why changes of the table cannot be followed into its containers as they are."""
        (table,) = self._source.fetch_tables([self._options.table])
        findings = cdc_findings(
            table,
            self._options,
            choose_key(table, self._options),
            columns=plan.columns,
            key_length=plan.key_length,
            access=access,
        )
        return [finding for finding in findings if finding.severity is Severity.PROBLEM]

    def _warn(self, run: LoadRun, message: str) -> None:
        self._tell(Note(run.table, message, Level.WARNING))
