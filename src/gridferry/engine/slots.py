"""What mode cdc needs of PostgreSQL before and beside the stream: the slot of a load, and how much log it may keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gridferry.checkpoint.runs import LoadRun
from gridferry.engine.events import Listener, Note
from gridferry.errors import CheckpointError, DataError, PlanError, SlotLost
from gridferry.model.position import Lsn
from gridferry.model.table import Table
from gridferry.plan.config import SyncOptions
from gridferry.plan.plan import Kernel, OnDuplicate, TablePlan
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.publications import Published
from gridferry.source.postgres.slots import NewSlot, SlotFacts


class SlotOfLoad:
    """The slot under which one table is loaded, so that the stream goes on where the load's snapshot ends."""

    def __init__(self, feed: ChangeFeed, name: str, tell: Listener) -> None:
        self.name = name
        self._feed = feed
        self._tell = tell

    @contextmanager
    def open(self, table: Table) -> Iterator[NewSlot]:
        """Make publications and slot anew; their snapshot is held until the block ends.

        Raises: SourceRefused, SlotInUse; see `ChangeFeed.new_slot`.
        """
        publishing = self._feed.publishing(table.schema, table.name)
        if publishing.published is Published.INSERTS:
            self._tell(
                Note(
                    table.qualified,
                    f"only inserts can be followed: {publishing.reason}. For updates and deletes too: "
                    f"{publishing.advice}",
                    "warning",
                )
            )
        with self._feed.new_slot(self.name, schema=table.schema, table=table.name) as made:
            yield made

    def check(self, run: LoadRun) -> None:
        """Return if an interrupted load can go on with its slot. Raises: SlotLost; CheckpointError if it has none."""
        if not run.slot:
            raise CheckpointError(
                f"the load of {run.table} was begun without a replication slot",
                state="nothing was changed",
                next_step="load it anew with --replace, or take `sync` out of the config until it is loaded",
            )
        try:
            self._feed.check(run.slot, start=Lsn.parse(run.start))
        except SlotLost as error:
            raise SlotLost(
                error.message,
                state="the load is not finished, and changes since it began are lost",
                next_step="run `gridferry load --replace`, which makes a new slot",
            ) from error

    def drop(self) -> None:
        """Drop slot and publications."""
        self._feed.drop(self.name)

    def require_followable(self, plan: TablePlan, *, unique: bool) -> None:
        """Raises: PlanError if changes do not hold what the plan stores, or do not tell where it stands.

        Args: `unique`: whether the source proves that no two rows share a row key.
        """
        publishing = self._feed.publishing(plan.schema, plan.table)
        hidden = sorted({c.source for c in plan.columns} & set(publishing.unpublished))
        if hidden:
            raise PlanError(
                f"{plan.qualified}: changes do not hold the generated column {hidden[0]} on this PostgreSQL",
                state="nothing was changed",
                next_step=f"leave it out with `exclude: [{hidden[0]}]`",
            )
        inserts = publishing.published is Published.INSERTS
        cut = any(c.kernel is Kernel.TIME_MS_TRUNCATE for c in plan.columns[: plan.key_length])
        kept = plan.on_duplicate in (OnDuplicate.ERROR, OnDuplicate.LAST)
        if (not unique or cut) and not (inserts and kept):
            raise PlanError(
                f"{plan.qualified}: nothing proves that no two rows share a row key, and a change of one would then "
                "be a change of the other",
                state="nothing was changed",
                next_step="use a unique key of the source as `key`, with `precision: keep` for a time"
                if not inserts
                else "set `on_duplicate: error` or `last`: the others cannot be kept in a stream of changes",
            )
        needed = {*plan.key, *([plan.split_by] if plan.split_by is not None else [])}
        missing = sorted(needed - set(publishing.identity))
        if publishing.published is Published.ALL and missing:
            raise PlanError(
                f"{plan.qualified}: an update or delete in the source does not tell the old {', '.join(missing)}, so "
                "its row would not be found",
                state="nothing was changed",
                next_step=f"run ALTER TABLE {plan.qualified} REPLICA IDENTITY FULL in the source, or use the primary "
                "key as `key`",
            )


def guard(facts: SlotFacts | None, sync: SyncOptions) -> Iterator[str]:
    """Warnings about the log that PostgreSQL keeps for a slot.

    Raises: DataError from `stop_lag` on: the log fills the source's disk, and a person has to decide.
    """
    if facts is None or facts.kept_bytes is None:
        return
    kept = f"PostgreSQL keeps {facts.kept_bytes / (1 << 20):,.0f} MB of log for the slot {facts.name}"
    if facts.kept_bytes >= sync.stop_lag:
        raise DataError(
            f"{kept}, more than `stop_lag`",
            state="nothing is lost: the slot still holds every change",
            next_step="raise `stop_lag` and sync to catch up; or free the source's disk with `gridferry drop-slot`, "
            "and load anew later",
        )
    if facts.wal_status == "unreserved":
        yield f"{kept}, and may remove it at any checkpoint: raise max_slot_wal_keep_size, or sync without delay"
    elif facts.kept_bytes >= sync.warn_lag:
        yield f"{kept}, more than `warn_lag`"
