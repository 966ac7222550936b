"""The syncs of a migration: one bounded run over each table, or runs without end until asked to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from gridferry.engine.each_table import SYNC, Tried, in_order, try_each
from gridferry.engine.events import FollowStarted, Listener, TableFailed, TableSync
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.slots import drop_slots
from gridferry.engine.sync.cdc.mode import CdcSync
from gridferry.engine.sync.follower import Follower
from gridferry.engine.sync.left_out import LeftOut
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.new_tables import Arrivals
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.tables import FollowLoop
from gridferry.engine.sync.watermark.mode import WatermarkSync
from gridferry.engine.sync.watermark.together import WatermarkPass
from gridferry.errors import ConfigError, FerryError
from gridferry.model.failed_tables import FailedTable
from gridferry.plan.config import OnTableError
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.session.connection import one_session


class Syncs:
    """Syncs of loaded tables. Tables are named as in the config; where none is named, all that are to be followed."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def sync(
        self,
        tables: Sequence[str] = (),
        *,
        follow: bool = False,
        interval_s: float = 60.0,
        wait_s: float = 0.0,
        until: Callable[[], bool] | None = None,
        sweep: bool = False,
        new_slot: bool = False,
        rows_per_chunk: int = 100_000,
    ) -> list[TableSync]:
        """Store everything committed before now in the loaded tables; with `follow` again and again.

        Args: tables: those with a `sync` in the config, unless some are named; interval_s: from one beginning to the
            next; wait_s: how long to wait for another run on a table; until: asked between chunks and runs, True ends
            the work after its checkpoint; sweep: look at whole tables, for rows that came later than the lookback;
            new_slot: where the slot of a table in mode cdc is lost, or it never had one, make another and go on from
            there (see `engine.sync.cdc.renew_slot`); rows_per_chunk: how many are stored and checkpointed at once.
        Raises: any FerryError; what was checkpointed stays, and the next call goes on from there. With `follow` only
            what will not pass. Of several tables those that can be synced are, before SomeTablesFailed names the
            others, its `done` a list of TableSync.
        """
        if interval_s < 0 or rows_per_chunk < 1:
            raise ConfigError("the interval must be 0 or more, and the rows a chunk 1 or more")
        ending = until or (lambda: False)
        cut = threading.Event()

        def stop() -> bool:
            return cut.is_set() or ending()

        arrivals = Arrivals(self._endpoints, wait_s=wait_s, rows_per_chunk=rows_per_chunk, follow=follow)
        chosen = followed(arrivals.first(tables), named=bool(tables))
        if new_slot:
            chosen = _to_renew(chosen, named=bool(tables), follow=follow)
        ends = self._endpoints
        state = ends.state
        left_out = LeftOut(state, ends.tell)
        together = WatermarkPass(state, ends.source, ends.tell)
        settings = SyncSettings(
            sweep=sweep,
            wait_s=wait_s,
            rows_per_chunk=rows_per_chunk,
            stop=stop,
            new_slot=new_slot,
            left_out=left_out,
            stops=ends.config.on_table_error is OnTableError.STOP,
        )
        if not follow:
            chosen = _without(chosen, left_out, named=bool(tables))

        def made(options: TableOptions) -> Follower:
            return follower(ends.source, state, options, settings=settings, listener=ends.tell)

        followers = [made(options) for options in chosen]
        many = ends.follows_many
        if not follow:
            stops = settings.stops
            return self._sync_each(
                followers, arrivals.failures, together=together, many=many, renew=new_slot, stops=stops
            )
        known = {options.qualified for options in chosen}
        later = None if tables or not ends.config.patterns else partial(arrivals.later, known, made)
        ends.tell(FollowStarted(tuple(each.table for each in followers), interval_s))
        loop = FollowLoop(
            followers,
            interval_s=interval_s,
            until=stop,
            cut=cut,
            tell=ends.tell,
            arrivals=later,
            many=many,
            left_out=left_out.of,
            stops=settings.stops,
            together=together.run,
        )
        return loop.run()

    def to_follow(self, tables: Sequence[str] = ()) -> list[TableOptions]:
        """The tables that `sync` would follow, so far as the config and the source say. Changes nothing.

        Raises: ConfigError for none, and for a name that is not in the config; SourceError.
        """
        return followed(self._endpoints.chosen(tables), named=bool(tables))

    def drop_slots(self, tables: Sequence[str] = ()) -> list[str]:
        """Drop the replication slots and publications of tables, so that PostgreSQL is as it was before their load.

        Args: tables: all of the config where none is named.
        Returns: what there was. After that the tables are not followed; `sync` with `new_slot` goes on.
        Raises: SlotInUse while a sync reads one; SourceRefused, SourceUnreachable.
        """
        ends = self._endpoints
        return drop_slots(
            ends.source,
            ends.feed,
            lambda: ends.state,
            ends.known(tables),
            slots=ends.slots_for,
            stream="" if tables else ends.stream_slot(),
            tell=ends.tell,
        )

    def _sync_each(
        self,
        followers: Sequence[Follower],
        failed: Sequence[FailedTable],
        *,
        together: WatermarkPass,
        many: bool,
        renew: bool,
        stops: bool,
    ) -> list[TableSync]:
        """See `sync_each`; tables that `failed` before are among those that failed."""
        tried = sync_each(followers, together=together, many=many, renew=renew, stops=stops, tell=self._endpoints.tell)
        replace(tried, failures=(*failed, *tried.failures)).require(SYNC)
        return list(tried.done)


def sync_each(
    followers: Sequence[Follower],
    *,
    together: WatermarkPass,
    many: bool,
    tell: Listener,
    renew: bool = False,
    stops: bool = False,
) -> Tried[TableSync]:
    """One bounded run over each table; one that fails does not stop the others. What one slot follows is one run.

    Args: together: finds those of which nothing is new, before the others are run one by one; many: whether one slot
        is to follow all tables in mode cdc; renew: whether each is to get another slot where its own is lost, and then
        to join the others; stops: whether the first that fails ends all.
    Raises no FerryError.
    """

    def run(each: Follower) -> TableSync:
        if each.table in passed.done:
            done = passed.done[each.table]
        elif passed.error is not None and isinstance(each, WatermarkSync):
            each.refused(passed.error)
        else:
            done = each.join() if many and isinstance(each, CdcSync) else each.run()
        tell(done)
        return done

    able = [each for each in followers if many and not renew and isinstance(each, CdcSync)]
    of_stream = CdcSync.members_of(able)
    members = [each for each in able if each.table in of_stream]
    alone = [each for each in followers if each not in members]
    with one_session():
        passed = together.run(alone)
        tried = try_each(alone, run, name=lambda each: each.table, doing=SYNC, tell=tell, stops=stops)
    return in_order(_together(members, tried, tell, stops=stops), [each.table for each in followers])


def _together(members: Sequence[CdcSync], tried: Tried[TableSync], tell: Listener, *, stops: bool) -> Tried[TableSync]:
    """One run over the tables that one slot follows, after what was `tried` of others."""
    names = tuple(each.table for each in members)
    if not members or tried.not_tried or any(failed.error.concerns_all or stops for failed in tried.failures):
        return replace(tried, not_tried=tried.not_tried + names)
    try:
        done = members[0].stream.run(members)
    except FerryError as error:
        tell(TableFailed(names[0], SYNC.verb, error, others=len(names) - 1))
        done = Tried((), (), (FailedTable(names[0], error),), names[1:])
    for each in done.done:
        tell(each)
    return Tried(
        tried.done + done.done,
        tried.finished + done.finished,
        tried.failures + done.failures,
        tried.not_tried + done.not_tried,
    )


def followed(tables: Sequence[TableOptions], *, named: bool) -> list[TableOptions]:
    """The tables to sync: all that were named, else those with a `sync` in the config. Raises: ConfigError for none."""
    chosen = [options for options in tables if named or options.sync is not None]
    if not chosen:
        raise ConfigError(
            "no table in the config is to be followed",
            next_step="add `sync: {mode: watermark}` or `sync: {mode: cdc}` to a table",
        )
    return chosen


def _without(tables: Sequence[TableOptions], left_out: LeftOut, *, named: bool) -> list[TableOptions]:
    """The tables that nobody wants to be left out; the others are told. Raises: ConfigError for one that is named."""
    standings = left_out.all()
    found = [standings[options.qualified] for options in tables if options.qualified in standings]
    if named and found:
        raise ConfigError(
            f"{found[0].table} {found[0].said}",
            state="nothing was changed",
            next_step="run that first, or leave the table out",
        )
    for standing in found:
        left_out.tell(standing)
    return [options for options in tables if options.qualified not in standings]


def _to_renew(tables: Sequence[TableOptions], *, named: bool, follow: bool) -> list[TableOptions]:
    """The tables whose slot may be made again: those named, else those in mode cdc. Raises: ConfigError."""
    if follow:
        raise ConfigError(
            "a new slot is made once, not again and again",
            state="nothing was changed",
            next_step="sync with the new slot first, then without end",
        )
    chosen = [options for options in tables if named or options.sync_mode is SyncMode.CDC]
    if not chosen:
        raise ConfigError(
            "no table in the config is followed by mode cdc",
            state="nothing was changed",
            next_step="set `sync: {mode: cdc}` for a table, or leave --new-slot out",
        )
    return chosen
