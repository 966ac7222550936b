"""The whole of gridferry behind one object: what the command line and Airflow call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from gridferry.checkpoint.state import TargetState
from gridferry.engine.cutover import CutoverSettings, cut_over
from gridferry.engine.events import (
    BucketLoad,
    ContainerState,
    ContainerStatus,
    Listener,
    PreparedLoad,
    QuarantinedRow,
    Replay,
    TableLoad,
    TableStatus,
    TableSync,
    ignore,
)
from gridferry.engine.load.copying import LoadOptions
from gridferry.engine.load.shared import SharedLoad
from gridferry.engine.load.table_load import TableLoader
from gridferry.engine.load.tables import load_tables, what_would_be_loaded
from gridferry.engine.ownership.origin_check import look_up
from gridferry.engine.ownership.planned_claims import with_claims
from gridferry.engine.ownership.replace_advice import droppable, what_goes
from gridferry.engine.ownership.target_session import TargetSession
from gridferry.engine.planning import plan_all
from gridferry.engine.repair.new_source import TakeOver
from gridferry.engine.repair.replay import replay_tables
from gridferry.engine.repair.service import Repairs
from gridferry.engine.slots import SlotOfLoad, drop_slots, slots_of
from gridferry.engine.status.tables import Standings
from gridferry.engine.sync.modes import followed, follower, is_cdc, sync_tables, to_renew
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.tables import Following
from gridferry.engine.verify.table import VerifySettings, required, verify_tables
from gridferry.engine.waits import note_of_lock
from gridferry.errors import ConfigError, FerryError
from gridferry.griddb import GridDBAddress, Store
from gridferry.model.cutover import NOTHING_ACCEPTED, Accepted, CutoverReport
from gridferry.model.verification import Depth, DifferenceSink, VerifyReport
from gridferry.plan.config import Config, TableOptions, VerifyWish
from gridferry.plan.plan import Plan, TablePlan
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.blockers import DEFAULT_LIMIT_S
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource


class Migration:
    """Tables of one PostgreSQL database on their way into one GridDB database. A context; connects when it must."""

    def __init__(self, config: Config, *, listener: Listener = ignore, transactions_s: float = DEFAULT_LIMIT_S) -> None:
        address = parse_address(config.source.dsn, replication=config.source.replication_dsn)
        self.source = PostgresSource(address, transactions_s)
        self.target: GridDBAddress = config.target
        self._verify = config.verify
        self._options = config.tables
        self._session = TargetSession(
            config.target,
            name=config.name,
            tables=config.tables,
            origin=self.source.fetch_origin,
            place=self.source.place,
            on_lock=lambda text: listener(note_of_lock(text)),
        )
        self._listener = self._session.completing(listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, FerryError):
            self._session.complete_advice(error)
        self.close()

    def close(self) -> None:
        """Close the connections to the target."""
        self._session.close()

    def complete_advice(self, error: FerryError, table: str) -> None:
        """Let an error of a table that advises --replace say what that would drop. Never fails."""
        self._session.complete_advice(error, table)

    @contextmanager
    def _advising(self, table: str) -> Iterator[None]:
        try:
            yield
        except FerryError as error:
            (options,) = self._chosen([table])
            self.complete_advice(error, f"{options.schema_name}.{options.table_name}")
            raise

    @property
    def state(self) -> TargetState:
        """What gridferry keeps in the target of this migration, to look at; connected to when it is first asked for."""
        return self._session.to_look_at()

    def options(self, tables: Sequence[str] = ()) -> tuple[TableOptions, ...]:
        """The options of tables of the config, of all without names. Raises: ConfigError for one that is not in it."""
        return self._chosen(tables)

    @property
    def store(self) -> Store:
        """The target database, connected to when it is first asked for."""
        return self._session.store

    def plan(self, tables: Sequence[str] = ()) -> Plan:
        """What would be done, and everything found on the way, of all tables. Changes nothing; asks the target too.

        Raises: what concerns all tables alike; a table that cannot be read is in the plan's `unread`.
        """
        chosen = self._chosen(tables)
        target = str(self.target)
        made = plan_all(self.source, chosen, slots=self._slots, target=target, configured=self._options)
        return with_claims(made, self._session)

    def load(
        self,
        tables: Sequence[str] = (),
        *,
        replace: bool = False,
        replace_unclaimed: bool = False,
        dry_run: bool = False,
        workers: int | None = None,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
    ) -> list[TableLoad]:
        """Load tables, or go on where an earlier run stopped.

        Args: replace: drop what this migration loaded of them, once the new load can begin; replace_unclaimed: with it,
            also containers of the plan's names that no migration claims; dry_run: say what would be done, and do
            nothing; wait_s: how long to wait for another run on the same table.
        Raises: any FerryError; what was checkpointed stays, and the same call goes on from there. Of several tables
            those that can be loaded are, before SomeTablesFailed names the others.
        """
        chosen = self._chosen(tables)
        load = LoadOptions(replace, workers, rows_per_chunk, wait_s, replace_unclaimed=replace_unclaimed)
        if dry_run:
            return what_would_be_loaded(self.plan(tables), self._state.runs)
        state = (
            self._state
        )  # what is wrong with the target, or with whose it is, is reported once and not for each table
        return load_tables(chosen, loader=lambda options: self._loader(state, options, load), tell=self._listener)

    def prepare_load(
        self, table: str, *, replace: bool = False, rows_per_chunk: int = 100_000, wait_s: float = 0.0
    ) -> PreparedLoad:
        """Begin one table's load so that several processes can share it, or see what an earlier one left to be read.

        Plan, chunks and containers are written down. Then `shared_load.deal` says how to cut the work, `load_bucket`
        does a part of it, and `finish_load` ends it; each in any process, and again after any failure.
        """
        with self._advising(table):
            load = LoadOptions(replace=replace, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
            return self._shared(table, load).prepare()

    def load_bucket(
        self,
        table: str,
        *,
        bucket: int,
        of: int,
        workers: int = 1,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
    ) -> BucketLoad:
        """Copy what is left of bucket `bucket` (from 0) of `of`. Raises: ConfigError where nothing is prepared."""
        with self._advising(table):
            load = LoadOptions(workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
            return self._shared(table, load).load_bucket(bucket, of)

    def finish_load(
        self, table: str, *, workers: int | None = None, rows_per_chunk: int = 100_000, wait_s: float = 0.0
    ) -> TableLoad:
        """Read what the buckets left and what moved behind them, count both sides, and end the load."""
        with self._advising(table):
            load = LoadOptions(workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
            return self._shared(table, load).finish()

    def drop_slot(self, tables: Sequence[str] = ()) -> list[str]:
        """Drop the replication slots and publications of tables, so that PostgreSQL is as it was before their load.

        Returns: what there was. After that the tables are not followed; `sync --new-slot` goes on.
        Raises: SlotInUse while a sync reads one; SourceRefused, SourceUnreachable.
        """
        return drop_slots(
            self.source, self._feed, lambda: self._state, self._chosen(tables), slots=self._slots, tell=self._listener
        )

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
            next; until: asked between chunks and runs, True ends the work after its checkpoint; sweep: look at whole
            tables, for rows that came later than the lookback; new_slot: where the slot of a table in mode cdc is lost,
            or it never had one, make another and go on from there; see `engine.sync.cdc.renew_slot`.
        Raises: any FerryError; what was checkpointed stays, and the next call goes on from there. With `follow` only
            what will not pass. Of several tables those that can be synced are, before SomeTablesFailed names the
            others.
        """
        if interval_s < 0 or rows_per_chunk < 1:
            raise ConfigError("the interval must be 0 or more, and the rows a chunk 1 or more")
        ending = until or (lambda: False)
        cut = threading.Event()

        def stop() -> bool:
            return cut.is_set() or ending()

        settings = SyncSettings(sweep=sweep, wait_s=wait_s, rows_per_chunk=rows_per_chunk, stop=stop, new_slot=new_slot)
        chosen = followed(self._chosen(tables), named=bool(tables))
        if new_slot:
            chosen = to_renew(chosen, named=bool(tables), follow=follow)
        followers = [
            follower(self.source, self._state, options, settings=settings, listener=self._listener)
            for options in chosen
        ]
        if follow:
            return Following(followers, interval_s=interval_s, until=stop, cut=cut, tell=self._listener).run()
        return sync_tables(followers, tell=self._listener)

    def verify(
        self,
        tables: Sequence[str] = (),
        *,
        quick: bool = False,
        output: str | os.PathLike[str] | None = None,
        settle_s: float | None = None,
        sync: bool = False,
        most_differences: int = 10,
        sink: DifferenceSink | None = None,
    ) -> VerifyReport:
        """Compare both sides as of a snapshot of the source: every value, or with `quick` rows and bounds only.

        Args: output: a .parquet or .jsonl file for every difference; settle_s: how long to look again at rows that
            differ while the table is synced (default: a minute while someone syncs it, else not at all); sync: run
            bounded syncs meanwhile, where nobody else does; most_differences: how many each table of the report lists
            in full; sink: takes all of them, as whole rows.
        Raises: NotLoaded for a table that was not loaded; CheckpointError where columns changed; any FerryError. Of
            several tables those that can be compared are, before SomeTablesFailed names the others; its `done` is
            their VerifyReport.
        """
        return required(
            self._compare(
                tables,
                quick=quick,
                output=output,
                settle_s=settle_s,
                sync=sync,
                most_differences=most_differences,
                sink=sink,
            )
        )

    def _compare(
        self,
        tables: Sequence[str] = (),
        *,
        quick: bool = False,
        output: str | os.PathLike[str] | None = None,
        settle_s: float | None = None,
        sync: bool = False,
        most_differences: int = 10,
        sink: DifferenceSink | None = None,
    ) -> VerifyReport:
        """As `verify`; tables that could not be compared are in the report's `failures`."""
        if most_differences < 0 or (settle_s is not None and settle_s < 0):
            raise ConfigError("the time to settle and the number of differences must be 0 or more")
        settings = VerifySettings(
            depth=Depth.QUICK if quick else Depth.FULL, settle_s=settle_s, most_differences=most_differences
        )
        path = None if output is None else Path(output)
        return self._verified(self._chosen(tables), settings, sync=sync, output=path, sink=sink)

    def verify_as_wished(
        self, tables: Sequence[str] = (), *, synced: bool = False, without: Collection[str] = ()
    ) -> VerifyReport | None:
        """What the config asks for after a load, or after a sync (`synced`): see `verify`. None: it asks for nothing.

        After a sync only the tables that are followed, and with syncs in between: the source may go on changing.
        Args: without: tables that are left out, as `schema.table`.
        """
        chosen = [options for options in self._chosen(tables) if options.qualified not in without]
        if self._verify is VerifyWish.OFF or not chosen:
            return None
        return required(
            self._verified(
                followed(chosen, named=bool(tables)) if synced else chosen,
                VerifySettings(depth=Depth.QUICK if self._verify is VerifyWish.QUICK else Depth.FULL),
                sync=synced,
            )
        )

    def _verified(
        self,
        tables: Sequence[TableOptions],
        settings: VerifySettings,
        *,
        sync: bool,
        output: Path | None = None,
        sink: DifferenceSink | None = None,
    ) -> VerifyReport:
        return verify_tables(
            self.source,
            self._state,
            tables,
            settings=settings,
            output=output,
            sink=sink,
            sync=self._sync_one if sync else None,
            listener=self._listener,
        )

    def cutover(
        self, tables: Sequence[str] = (), *, wait_s: float = 0.0, accepted: Accepted = NOTHING_ACCEPTED
    ) -> CutoverReport:
        """Drain, verify, and say whether the application can be pointed at the target; see `CutoverSettings`."""
        settings = CutoverSettings(wait_s, accepted, self._options)
        return cut_over(
            self.source, self._state, self._chosen(tables), settings, verify=self.verify, listener=self._listener
        )

    def _sync_one(self, options: TableOptions) -> None:
        follower(self.source, self._state, options, settings=SyncSettings(), listener=self._listener).run()

    def status(self, tables: Sequence[str] = (), *, ask_source: bool = True) -> list[TableStatus]:
        """What the target's state says of the tables in the config, and what waits in the source to be synced."""
        return self._standings(ask_source=ask_source).tables(self._chosen(tables), ask_source=ask_source)

    def container_states(
        self, tables: Sequence[str] = (), *, match: str = "", known: Sequence[TableStatus] = ()
    ) -> list[ContainerState]:
        """The state of each container of loaded tables.

        Args: match: a pattern for names or split values; known: what `status` has just said, not to be asked again.
        """
        return self._standings().container_states(self._chosen(tables), match=match, known=known)

    def containers(self, tables: Sequence[str] = ()) -> list[ContainerStatus]:
        """The containers of the tables, and the rows each holds now."""
        return self._standings().containers(self._chosen(tables))

    def quarantine(self, tables: Sequence[str] = ()) -> list[QuarantinedRow]:
        """The quarantined rows."""
        return list(self._standings().put_aside(self._chosen(tables)))

    def replay(self, tables: Sequence[str] = (), *, ids: Sequence[str] = ()) -> list[Replay]:
        """Store quarantined rows as the source has them now; what still cannot be stored stays in the quarantine."""
        return replay_tables(self.source, self._state, self._chosen(tables), ids=frozenset(ids), tell=self._listener)

    def what_replace_drops(self, tables: Sequence[str] = ()) -> str:
        """What `load` with `replace` would drop of these tables, as the target holds it now, in a sentence."""
        return what_goes(droppable(self._state, [f"{o.schema_name}.{o.table_name}" for o in self._chosen(tables)]))

    @property
    def sources(self) -> TakeOver:
        """Sources that took the place of those that tables are from: looked at, and taken over."""
        return TakeOver(self._session.to_take_over(), self.source, self._listener, chosen=self._chosen)

    @property
    def repairs(self) -> Repairs:
        """The repairs of this target: made, listed, undone, forgotten."""
        return Repairs(self._state, self.source, self._listener, chosen=self._chosen, compare=self._compare)

    @property
    def _state(self) -> TargetState:
        return self._session.state

    def _standings(self, *, ask_source: bool = True) -> Standings:
        state = self._session.to_look_at(ask_source=ask_source)
        return Standings(self.source, state, self._listener, notes=lambda: self._session.identity.notes)

    @property
    def _feed(self) -> ChangeFeed:
        return ChangeFeed(self.source.address)

    def _loader(self, state: TargetState, options: TableOptions, load: LoadOptions) -> TableLoader:
        return TableLoader(
            source=self.source,
            state=state,
            options=options,
            load=load,
            listener=self._listener,
            slot=self._slot_of_load(state, options),
        )

    def _shared(self, table: str, load: LoadOptions) -> SharedLoad:
        (options,) = self._chosen([table])
        state = self._state
        return SharedLoad(
            source=self.source,
            state=state,
            options=options,
            load=load,
            listener=self._listener,
            slot=self._slot_of_load(state, options),
        )

    def _slot_of_load(self, state: TargetState, options: TableOptions) -> SlotOfLoad | None:
        if not is_cdc(options):
            return None
        return SlotOfLoad(self.source, slots_of(self._feed, state, options.qualified), self._listener)

    def _slots(self, options: TableOptions) -> tuple[str, str]:
        return self._feed.slots_for(options.qualified, str(self.target), self._session.whose())

    def _chosen(self, tables: Sequence[str]) -> tuple[TableOptions, ...]:
        config = Config(source=None, target=self.target, tables=self._options)  # type: ignore[arg-type]
        return config.chosen(tables)

    def loaded_plan(self, table: str) -> TablePlan:
        """The plan that a table was loaded with. Raises: ConfigError if it was not."""
        (options,) = self._chosen([table])
        return look_up(self.state, options, left="", then="gridferry status")[1]
