"""The whole of gridferry behind one object: what the command line and Airflow call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
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
from gridferry.engine.load import TableLoader
from gridferry.engine.load_work import LoadOptions
from gridferry.engine.loaded import look_up
from gridferry.engine.new_source import TakeOver
from gridferry.engine.repairs import Repairs
from gridferry.engine.replay import replay_table
from gridferry.engine.scope import other_tables
from gridferry.engine.shared_load import SharedLoad
from gridferry.engine.slots import SlotOfLoad, drop_known, refuse_elsewhere
from gridferry.engine.sync import follow_all, followed, follower, is_cdc, to_renew
from gridferry.engine.table_status import Standings
from gridferry.engine.target_session import TargetSession
from gridferry.engine.verify import VerifySettings, verify_tables
from gridferry.engine.waits import note_of_lock
from gridferry.engine.watermark import SyncSettings
from gridferry.errors import ConfigError
from gridferry.griddb import GridDBAddress, Store
from gridferry.model.cutover import NOTHING_ACCEPTED, Accepted, CutoverReport
from gridferry.model.publishing import ChangeAccess
from gridferry.model.table import Table
from gridferry.model.verification import Depth, DifferenceSink, VerifyReport
from gridferry.plan.config import Config, TableOptions, VerifyWish
from gridferry.plan.plan import Plan, TablePlan
from gridferry.plan.planner import plan_tables, profile_request
from gridferry.source.postgres.blockers import DEFAULT_LIMIT_S
from gridferry.source.postgres.connection import parse_address
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.source import PostgresSource


class Migration:
    """Tables of one PostgreSQL database on their way into one GridDB database. A context; connects when it must."""

    def __init__(self, config: Config, *, listener: Listener = ignore, transactions_s: float = DEFAULT_LIMIT_S) -> None:
        address = parse_address(config.source.dsn, replication=config.source.replication_dsn)
        self.source = PostgresSource(address, transactions_s)
        self.target: GridDBAddress = config.target
        self._verify = config.verify
        self._options = config.tables
        self._listener = listener
        self._session = TargetSession(
            config.target,
            name=config.name,
            tables=config.tables,
            origin=self.source.fetch_origin,
            on_lock=lambda text: listener(note_of_lock(text)),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the target."""
        self._session.close()

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
        """What would be done, and everything found on the way. Reads the source only."""
        chosen = self._chosen(tables)
        with self.source.open_snapshot() as view:
            found = view.fetch_tables([options.table for options in chosen])
            access = self._access(found, chosen)
            facts = [
                (table, view.fetch_profile(profile_request(table, options)), options, access.get(table.qualified))
                for table, options in zip(found, chosen, strict=True)
            ]
            others = other_tables(view, self._options)
        role = self.source.fetch_role([(table.schema, table.name) for table in found])
        return plan_tables(facts, source=self.source.display, target=str(self.target), others=others, role=role)

    def load(
        self,
        tables: Sequence[str] = (),
        *,
        replace: bool = False,
        dry_run: bool = False,
        workers: int | None = None,
        rows_per_chunk: int = 100_000,
        wait_s: float = 0.0,
    ) -> list[TableLoad]:
        """Load tables, or go on where an earlier run stopped.

        Args: replace: drop what stands in the way first; dry_run: say what would be done, and do nothing; wait_s: how
            long to wait for another run on the same table.
        Raises: any FerryError; what was checkpointed stays, and the same call goes on from there.
        """
        chosen = self._chosen(tables)
        load = LoadOptions(replace=replace, workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        if dry_run:
            return [self._dry(options) for options in chosen]
        done = []
        for options in chosen:
            loader = TableLoader(
                source=self.source,
                state=self._state,
                options=options,
                load=load,
                listener=self._listener,
                slot=self._slot_of_load(options),
            )
            done.append(loader.run(options.table))
            self._listener(done[-1])
        return done

    def prepare_load(
        self, table: str, *, replace: bool = False, rows_per_chunk: int = 100_000, wait_s: float = 0.0
    ) -> PreparedLoad:
        """Begin one table's load so that several processes can share it, or see what an earlier one left to be read.

        Plan, chunks and containers are written down. Then `shared_load.deal` says how to cut the work, `load_bucket`
        does a part of it, and `finish_load` ends it; each in any process, and again after any failure.
        """
        return self._shared(table, LoadOptions(replace=replace, rows_per_chunk=rows_per_chunk, wait_s=wait_s)).prepare()

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
        return self._shared(
            table, LoadOptions(workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)
        ).load_bucket(bucket, of)

    def finish_load(
        self, table: str, *, workers: int | None = None, rows_per_chunk: int = 100_000, wait_s: float = 0.0
    ) -> TableLoad:
        """Read what the buckets left and what moved behind them, count both sides, and end the load."""
        return self._shared(table, LoadOptions(workers=workers, rows_per_chunk=rows_per_chunk, wait_s=wait_s)).finish()

    def drop_slot(self, tables: Sequence[str] = ()) -> list[str]:
        """Drop the replication slots and publications of tables, so that PostgreSQL is as it was before their load.

        Returns: what there was. After that the tables are not followed; `sync --new-slot` goes on.
        Raises: SlotInUse while a sync reads one; SourceRefused, SourceUnreachable.
        """
        dropped: list[str] = []
        for options in self._chosen(tables):
            # First the source: it is to be clean even where the target is gone.
            refuse_elsewhere(lambda: self._state, self.source, options)
            dropped += self._feed.drop(self._slot(options))
            dropped += drop_known(self._feed, self._state, f"{options.schema_name}.{options.table_name}")
        return dropped

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
        """Bring loaded tables level with everything committed before now; with `follow` again and again.

        Args: tables: those with a `sync` in the config, unless some are named; interval_s: from one beginning to the
            next; until: asked between chunks and runs, True ends the work after its checkpoint; sweep: look at whole
            tables, for rows that came later than the lookback; new_slot: where the slot of a table in mode cdc is lost,
            or it never had one, make another and go on from there; see `engine.new_slot`.
        Raises: any FerryError; what was checkpointed stays, and the next call goes on from there. With `follow` only
            what will not pass.
        """
        if interval_s < 0 or rows_per_chunk < 1:
            raise ConfigError("the interval must be 0 or more, and the rows a chunk 1 or more")
        ending = until or (lambda: False)
        failed = threading.Event()

        def stop() -> bool:
            return failed.is_set() or ending()

        settings = SyncSettings(sweep=sweep, wait_s=wait_s, rows_per_chunk=rows_per_chunk, stop=stop, new_slot=new_slot)
        chosen = followed(self._chosen(tables), named=bool(tables))
        if new_slot:
            chosen = to_renew(chosen, named=bool(tables), follow=follow)
        followers = [
            follower(self.source, self._state, options, settings=settings, listener=self._listener)
            for options in chosen
        ]
        if follow:
            return follow_all(followers, interval_s=interval_s, until=stop, failed=failed, listener=self._listener)
        done = []
        for each in followers:
            done.append(each.run())
            self._listener(done[-1])
        return done

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
            bounded syncs meanwhile, where nobody else does; most_differences: how many each table of the report tells
            in full; sink: takes all of them, as whole rows.
        Raises: ConfigError for a table that was not loaded; CheckpointError where columns changed; any FerryError.
        """
        if most_differences < 0 or (settle_s is not None and settle_s < 0):
            raise ConfigError("the time to settle and the number of differences must be 0 or more")
        settings = VerifySettings(
            depth=Depth.QUICK if quick else Depth.FULL, settle_s=settle_s, most_differences=most_differences
        )
        path = None if output is None else Path(output)
        return self._verified(self._chosen(tables), settings, sync=sync, output=path, sink=sink)

    def verify_as_wished(self, tables: Sequence[str] = (), *, synced: bool = False) -> VerifyReport | None:
        """What the config asks for after a load, or after a sync (`synced`): see `verify`. None: it asks for nothing.

        After a sync only the tables that are followed, and with syncs in between: the source may go on changing.
        """
        if self._verify is VerifyWish.OFF:
            return None
        chosen = self._chosen(tables)
        return self._verified(
            followed(chosen, named=bool(tables)) if synced else chosen,
            VerifySettings(depth=Depth.QUICK if self._verify is VerifyWish.QUICK else Depth.FULL),
            sync=synced,
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
        """How each container of loaded tables stands.

        Args: match: a pattern for names or split values; known: what `status` has just said, not to be asked again.
        """
        return self._standings().container_states(self._chosen(tables), match=match, known=known)

    def containers(self, tables: Sequence[str] = ()) -> list[ContainerStatus]:
        """The containers of the tables, and the rows each holds now."""
        return self._standings().containers(self._chosen(tables))

    def quarantine(self, tables: Sequence[str] = ()) -> list[QuarantinedRow]:
        """The rows put aside."""
        return list(self._standings().put_aside(self._chosen(tables)))

    def replay(self, tables: Sequence[str] = (), *, ids: Sequence[str] = ()) -> list[Replay]:
        """Store rows that were put aside as the source has them now; what still cannot be stored stays put aside."""
        done = []
        for options in self._chosen(tables):
            with self.source.open_snapshot() as view:
                done.append(replay_table(self._state, options, view, ids=frozenset(ids)))
        return done

    @property
    def sources(self) -> TakeOver:
        """Sources that took the place of those that tables are from: looked at, and taken over."""
        return TakeOver(self._session.to_take_over(), self.source, self._listener, chosen=self._chosen)

    @property
    def repairs(self) -> Repairs:
        """The repairs of this target: made, listed, undone, forgotten."""
        return Repairs(self._state, self.source, self._listener, chosen=self._chosen, verify=self.verify)

    @property
    def _state(self) -> TargetState:
        return self._session.state

    def _standings(self, *, ask_source: bool = True) -> Standings:
        state = self._session.to_look_at(ask_source=ask_source)
        return Standings(self.source, state, self._listener, notes=lambda: self._session.identity.notes)

    @property
    def _feed(self) -> ChangeFeed:
        return ChangeFeed(self.source.address)

    def _access(self, tables: Sequence[Table], options: Sequence[TableOptions]) -> dict[str, ChangeAccess]:
        """What the source allows of the tables in mode cdc, by qualified name."""
        pairs = zip(tables, options, strict=True)
        wanted = [(t, self._slot(o)) for t, o in pairs if is_cdc(o)]
        found = self._feed.access([(t.schema, t.name, slot) for t, slot in wanted]) if wanted else []
        return {t.qualified: access for (t, _), access in zip(wanted, found, strict=True)}

    def _shared(self, table: str, load: LoadOptions) -> SharedLoad:
        (options,) = self._chosen([table])
        return SharedLoad(
            source=self.source,
            state=self._state,
            options=options,
            load=load,
            listener=self._listener,
            slot=self._slot_of_load(options),
        )

    def _slot_of_load(self, options: TableOptions) -> SlotOfLoad | None:
        return SlotOfLoad(self.source, self._slot(options), self._listener) if is_cdc(options) else None

    def _slot(self, options: TableOptions) -> str:
        table = f"{options.schema_name}.{options.table_name}"
        return self._feed.slot_for(table, str(self.target), self._session.whose())

    def _chosen(self, tables: Sequence[str]) -> tuple[TableOptions, ...]:
        config = Config(source=None, target=self.target, tables=self._options)  # type: ignore[arg-type]
        return config.chosen(tables)

    def loaded_plan(self, table: str) -> TablePlan:
        """The plan that a table was loaded with. Raises: ConfigError if it was not."""
        (options,) = self._chosen([table])
        return look_up(self.state, options, left="", then="gridferry status")[1]

    def _dry(self, options: TableOptions) -> TableLoad:
        plan = self.plan([options.table]).tables[0]
        run = self._state.runs.get(plan.qualified)
        what = "nothing of it is loaded yet" if run is None else f"an earlier load is {run.state.value}"
        notes = tuple(f.message for f in plan.problems) or (what,)
        return TableLoad(plan.qualified, "planned", notes=notes)
