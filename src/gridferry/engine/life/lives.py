"""The life of a migration's tables after their load: paused and resumed, brought back, removed, forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gridferry import numbers
from gridferry.checkpoint.runs import LoadRun
from gridferry.checkpoint.standings import Standing, StandingKind
from gridferry.checkpoint.state import TargetState
from gridferry.engine.each_table import FORGET, PAUSE, REMOVE, RESUME, RESYNC, try_each
from gridferry.engine.life.forgetting import drop_containers, forget_load, forget_records
from gridferry.engine.life.named import NamedTable, named_tables
from gridferry.engine.life.places import PATIENCE_S, give_up_place
from gridferry.engine.life.resync import Resync, ResyncPlan
from gridferry.engine.life.unneeded_slots import drop_unneeded
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.ownership.origin_check import not_loaded
from gridferry.engine.ownership.replace_advice import droppable
from gridferry.errors import CheckpointError, ConfigError, FerryError
from gridferry.model.failed_tables import Deed
from gridferry.model.word import Word
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions

_LEFT = "nothing was changed"


class Change(Word):
    """What became of a table."""

    PAUSED = "paused"
    RESUMED = "resumed"
    RESYNCED = "resynced"
    REMOVED = "removed"
    FORGOTTEN = "forgotten"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class LifeChange:
    """What a command did to one table; `detail` is a sentence for people, "" where there is nothing more to say."""

    table: str
    change: Change
    detail: str = ""


class Lives:
    """The life of tables. Named as in the config, or as the target has them; each call needs a name or a pattern.

    Raises: the error of the only table; SomeTablesFailed after all others, its `done` a list of LifeChange.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._ends = endpoints

    def pause(self, tables: Sequence[str], *, release_log: bool = False, wait_s: float = 0.0) -> list[LifeChange]:
        """Let no sync follow the tables until they are resumed, also one that runs, within seconds.

        Args: release_log: mode cdc does not keep their log: a resync has to bring them back; wait_s: how long to wait
            for a run that works on a table to let its log go.
        """

        def pause(named: NamedTable) -> LifeChange:
            state, table = self._ends.state, named.table
            run, standing = self._loaded(named, "gridferry pause"), state.standings.get(table)
            if standing is not None and standing.kind is not StandingKind.PAUSED:
                raise _refused(standing)
            if named.options is not None and named.options.sync is None:
                raise ConfigError(f"{table} is not followed", state=_LEFT, next_step="there is nothing to pause")
            releases = release_log and bool(run.slot or run.spare)
            if standing is not None and (standing.gives_up or not releases):
                return LifeChange(table, Change.UNCHANGED, f"it {standing.said}")
            state.standings.set(table, StandingKind.PAUSED, gives_up=releases)
            if releases:
                give_up_place(state, self._ends.feed, table, wait_s=wait_s)
                return LifeChange(table, Change.PAUSED, "its log was let go: a resync brings it back")
            kept = "the source keeps its log; see `gridferry status` how much" if run.slot else ""
            return LifeChange(table, Change.PAUSED, kept)

        return self._each(tables, pause, PAUSE)

    def resume(self, tables: Sequence[str]) -> list[LifeChange]:
        """Let syncs follow paused tables again, from where they were."""

        def resume(named: NamedTable) -> LifeChange:
            state, table = self._ends.state, named.table
            standing = state.standings.get(table)
            if standing is None:
                return LifeChange(table, Change.UNCHANGED, "it is not paused")
            if standing.kind is not StandingKind.PAUSED:
                raise _refused(standing)
            run = state.runs.get(table)
            follows = named.options is not None and named.options.sync_mode is SyncMode.CDC
            if standing.gives_up or (follows and run is not None and not run.slot):
                raise ConfigError(
                    f"the log of {table} was let go since it was paused: changes are missing",
                    state="it stays paused",
                    next_step=f"run `gridferry resync {table}`: it brings them, and goes on",
                )
            state.standings.forget(table)
            return LifeChange(table, Change.RESUMED, "the next sync, or the one that runs, goes on with it")

        return self._each(tables, resume, RESUME)

    def look(self, tables: Sequence[str], *, copy: bool = False) -> list[ResyncPlan]:
        """How `resync` would bring each table back. Changes nothing."""
        work = Resync(self._ends, copy=copy, wait_s=0.0)
        chosen = named_tables(self._ends, self._ends.state, tables)
        tried = try_each(chosen, lambda named: work.plan(_options(named)), name=_name, doing=RESYNC)
        tried.require(RESYNC)
        return list(tried.done)

    def resync(self, tables: Sequence[str], *, copy: bool = False, wait_s: float = 0.0) -> list[LifeChange]:
        """Bring tables back in step, whatever is wrong with them, while the others go on: see `engine.life.resync`.

        Args: copy: by a new copy, also where the rows could be repaired in place; wait_s: how long to wait for a run
            that works on a table.
        """
        work = Resync(self._ends, copy=copy, wait_s=wait_s)

        def resync(named: NamedTable) -> LifeChange:
            return LifeChange(named.table, Change.RESYNCED, work.run(_options(named)))

        return self._each(tables, resync, RESYNC)

    def remove(self, tables: Sequence[str], *, drop: bool = False, wait_s: float = 0.0) -> list[LifeChange]:
        """Follow tables no more, and keep no log for them. Their rows stay; no pattern loads them again.

        Args: drop: drop their containers too; wait_s: how long to wait for a run that works on a table.
        """

        def remove(named: NamedTable) -> LifeChange:
            state, table = self._ends.state, named.table
            before = state.standings.get(table)
            if before is None or before.kind is not StandingKind.REMOVED:
                if before is None:
                    self._loaded(named, "gridferry remove")
                state.standings.set(table, StandingKind.REMOVED, gives_up=True)
            elif not drop:
                return LifeChange(table, Change.UNCHANGED, f"it {before.said}")
            give_up_place(state, self._ends.feed, table, wait_s=wait_s)
            state.failures.forget(table)
            if not drop:
                return LifeChange(table, Change.REMOVED, "its rows stay in GridDB as they are")
            with state.lease(table, wait_s=max(wait_s, PATIENCE_S)):
                gone = drop_containers(state, table)
                forget_records(state, table)
                forget_load(state, table)
            dropped = f"{numbers.plural(gone.containers, 'container')} with {numbers.plural(gone.rows, 'row')}"
            return LifeChange(table, Change.REMOVED, f"{dropped} dropped")

        return self._each(tables, remove, REMOVE)

    def what_remove_drops(self, tables: Sequence[str]) -> str:
        """What `remove` with `drop` would drop, as the target holds it now, in a sentence."""
        state = self._ends.state
        held = droppable(state, [named.table for named in named_tables(self._ends, state, tables)])
        return "; ".join(map(str, held))

    def forget(self, tables: Sequence[str], *, wait_s: float = 0.0) -> list[LifeChange]:
        """Forget all that the target keeps of tables that are gone from the source or from the config.

        Their containers stay with their rows, and are nobody's then. What followed them in the source is dropped.
        """

        def forget(named: NamedTable) -> LifeChange:
            state, table = self._ends.state, named.table
            if named.options is not None and named.name in self._ends.source.fetch_table_names():
                raise ConfigError(
                    f"{table} is in the config and in the source",
                    state=_LEFT,
                    next_step=f"`gridferry remove {table}` ends following it; or take it out of the config (`except` "
                    "where a pattern means it), then forget it",
                )
            (held,) = droppable(state, [table])
            quarantined = state.quarantine.total(table)
            state.standings.set(table, StandingKind.REMOVED, gives_up=True)  # for a run that follows the slot
            give_up_place(state, self._ends.feed, table, wait_s=wait_s)
            with state.lease(table, wait_s=max(wait_s, PATIENCE_S)):
                forget_records(state, table)
                forget_load(state, table)
                state.standings.forget(table)
            kept = f"{numbers.plural(held.containers, 'container')} with {numbers.plural(held.rows, 'row')}"
            said = f"{kept} stay, and are nobody's now"
            if quarantined:
                said += f"; {numbers.plural(quarantined, 'row')} of the quarantine forgotten"
            return LifeChange(table, Change.FORGOTTEN, said)

        return self._each(tables, forget, FORGET)

    def drop_unneeded_slots(self) -> list[str]:
        """Drop slots of this migration that no table of the config needs. Returns: what there was.

        Raises: SlotInUse, SourceError; GridDBError, with what drops them by hand.
        """
        return drop_unneeded(self._ends)

    def _each(self, tables: Sequence[str], act: Callable[[NamedTable], LifeChange], deed: Deed) -> list[LifeChange]:
        chosen = named_tables(self._ends, self._ends.state, tables)
        tried = try_each(chosen, act, name=_name, doing=deed, tell=self._ends.tell)
        tried.require(deed)
        return list(tried.done)

    def _loaded(self, named: NamedTable, then: str) -> LoadRun:
        """The table's load, finished or not. Raises: NotLoaded where none has begun."""
        state: TargetState = self._ends.state
        run = state.runs.get(named.table)
        if run is None and named.options is not None:
            raise not_loaded(state, named.options, left=_LEFT, then=then)
        if run is None:
            raise CheckpointError(
                f"{named.table} has no load", state=_LEFT, next_step=f"gridferry forget {named.table}"
            )
        return run


def _name(named: NamedTable) -> str:
    return named.table


def _options(named: NamedTable) -> TableOptions:
    if named.options is None:
        raise ConfigError(
            f"{named.table} is in the target, and not in the config any more",
            state=_LEFT,
            next_step=f"write it into the config again; or `gridferry forget {named.table}`",
        )
    return named.options


def _refused(standing: Standing) -> FerryError:
    return ConfigError(f"{standing.table} {standing.said}", state=_LEFT, next_step="see `gridferry status`")
