"""Both ends of a migration: the source, the target, and the tables of the config that go from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gridferry.checkpoint.standings import StandingKind
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Listener
from gridferry.engine.ownership.tables import ChosenTables, TablesOfConfig
from gridferry.engine.ownership.target_session import TargetSession
from gridferry.engine.waits import note_of_lock
from gridferry.errors import ConfigError
from gridferry.griddb import Store
from gridferry.plan.config import Config
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.session.blockers import DEFAULT_LIMIT_S
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.source import PostgresSource


class Endpoints:
    """What all work on a migration is given. Connects to either end when it is first needed.

    `tell` takes the events of the work; what advises --replace says by then what that would drop.
    """

    def __init__(self, config: Config, *, listener: Listener, transactions_s: float = DEFAULT_LIMIT_S) -> None:
        """Args: transactions_s: how long a statement waits for transactions of others that it needs to have ended."""
        address = parse_address(config.source.dsn, replication=config.source.replication_dsn)
        wish = config.slot_wish
        address = replace(address, publications=wish.publications, failover=wish.failover)
        self.config = config
        self.source = PostgresSource(address, transactions_s)
        self.session = TargetSession(
            config.target,
            name=config.name,
            tables=lambda names: self.tables.of(names),
            origin=self.source.fetch_origin,
            place=self.source.place,
            on_lock=lambda text: listener(note_of_lock(text)),
        )
        self.tell = self.session.completing(listener)
        self.tables = TablesOfConfig(
            config,
            ask=self.source.fetch_table_names,
            look=lambda ask_source: self.look_at_state(ask_source=ask_source),
            tell=self.tell,
        )

    @property
    def store(self) -> Store:
        """The target database. Raises: GridDBError where it is away."""
        return self.session.store

    @property
    def state(self) -> TargetState:
        """What the target keeps of the migration, to read and write by. Raises: as `TargetSession.state`."""
        return self.session.state

    def look_at_state(self, *, ask_source: bool = True) -> TargetState:
        """The same for who only looks: see `TargetSession.to_look_at`."""
        return self.session.to_look_at(ask_source=ask_source)

    def chosen(self, tables: Sequence[str] = ()) -> tuple[TableOptions, ...]:
        """The options of tables by their names, of all without names: see `TablesOfConfig.chosen`."""
        return self.tables.chosen(tables)

    def standing(self, tables: Sequence[str] = (), *, then: str, takes_new: bool = False) -> ChosenTables:
        """The same for work on loaded tables: see `TablesOfConfig.standing`."""
        return self.tables.standing(self.state, tables, then=then, takes_new=takes_new)

    def to_load(self, tables: Sequence[str] = ()) -> tuple[TableOptions, ...]:
        """The tables of `chosen` that a load may take: not those that were removed; it raises where one is named.

        Raises: ConfigError; as `chosen`.
        """
        chosen = self.chosen(tables)
        standings = self.state.standings.all()
        removed = {table: s for table, s in standings.items() if s.kind is StandingKind.REMOVED}
        wrong = [removed[options.qualified] for options in chosen if options.qualified in removed]
        if wrong and tables:
            raise ConfigError(
                f"{wrong[0].table} {wrong[0].said}",
                state="nothing was changed",
                next_step=f"run `gridferry resync {wrong[0].table}`: it loads the table again where that is needed",
            )
        return tuple(options for options in chosen if options.qualified not in removed)

    def known(self, tables: Sequence[str] = (), *, ask_source: bool = True) -> tuple[TableOptions, ...]:
        """The same for who only looks: see `TablesOfConfig.known`."""
        return self.tables.known(tables, ask_source=ask_source)

    @property
    def feed(self) -> ChangeFeed:
        """The source's slots, publications and changes."""
        return ChangeFeed(self.source.address)

    def slots_for(self, options: TableOptions) -> tuple[str, str]:
        """The names that a table's replication slot may have; the target need not be there to know them."""
        return self.feed.slots_for(options.qualified, str(self.config.target), self.session.whose())

    def stream_slot(self) -> str:
        """The name of the slot that follows all tables."""
        return self.feed.stream_slot(str(self.config.target), self.session.whose())

    def slots_to_be(self, options: TableOptions) -> tuple[str, ...]:
        """The slots that may follow a table, the one that a load would choose first."""
        own = self.slots_for(options)
        return (self.stream_slot(), *own) if self.follows_many else own

    @property
    def follows_many(self) -> bool:
        """Whether one slot is to follow several tables: the config has more than one in mode cdc, or a pattern."""
        if any(pattern.options.sync_mode is SyncMode.CDC for pattern in self.config.patterns):
            return True
        return sum(options.sync_mode is SyncMode.CDC for options in self.config.tables) > 1

    def close(self) -> None:
        """Close the connections to the target. A later call opens others."""
        self.session.close()
