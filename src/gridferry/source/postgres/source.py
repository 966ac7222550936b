"""PostgreSQL behind the contract: what the engine holds in its hands."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gridferry.model.key_advice import KeyAdvice
from gridferry.model.migration import DatabaseOrigin
from gridferry.model.origin import SourceOrigin
from gridferry.model.profile import ProfileRequest, TableProfile
from gridferry.model.source_role import SourceRole
from gridferry.model.table import Listing, Table, TableName
from gridferry.plan.epoch_advice import CountedTime, counted_time, epoch_look
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions
from gridferry.source.postgres.catalog import catalog, key_advice, listing, number_ranges, profile
from gridferry.source.postgres.one_snapshot import PostgresReader, PostgresSnapshot
from gridferry.source.postgres.rows.kept_readers import KeptReaders
from gridferry.source.postgres.session import database_origin, role, snapshot
from gridferry.source.postgres.session import table_origin as origin
from gridferry.source.postgres.session.blockers import DEFAULT_LIMIT_S
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.transactions import Work

ADVICE_S = 60.0  # in all, for looking at tables without a key


@dataclass(frozen=True)
class PostgresSource:
    """A database to read from. `ReadsCatalog` with a session for each call.

    `transactions_s`: how long a new replication slot may wait for transactions that are open at the server.
    """

    address: PostgresAddress
    transactions_s: float = DEFAULT_LIMIT_S

    @property
    def display(self) -> str:
        """`host:port/database`, for people."""
        return self.address.display

    def fetch_tables(self, names: Sequence[str] | None = None) -> list[Table]:
        """See `catalog.fetch_tables`."""
        with connect(self.address) as connection:
            if names is None:
                return list(listing.fetch_listing(connection).tables)
            return catalog.fetch_tables(connection, names)

    @property
    def place(self) -> str:
        """See `database_origin.place_of`."""
        return database_origin.place_of(self.address)

    def fetch_origin(self) -> DatabaseOrigin:
        """See `database_origin.fetch_origin`."""
        with connect(self.address) as connection:
            return database_origin.fetch_origin(connection, self.address)

    def fetch_listing(self) -> Listing:
        """See `listing.fetch_listing`."""
        with connect(self.address) as connection:
            return listing.fetch_listing(connection)

    def fetch_table_names(self) -> list[TableName]:
        """See `listing.fetch_table_names`."""
        with connect(self.address) as connection:
            return listing.fetch_table_names(connection)

    def fetch_profile(self, request: ProfileRequest, *, sample_percent: float | None = None) -> TableProfile:
        """See `profile.fetch_profile`."""
        with connect(self.address, Work.SNAPSHOT) as connection:
            return profile.fetch_profile(connection, request, sample_percent=sample_percent)

    def fetch_key_advice(self, tables: Sequence[Table], *, seconds: float = ADVICE_S) -> dict[str, KeyAdvice]:
        """See `key_advice.fetch_key_advice`, by `schema.table`; no table is looked at once `seconds` have passed."""
        found: dict[str, KeyAdvice] = {}
        if not tables:
            return found
        end = time.monotonic() + seconds
        with connect(self.address, Work.SNAPSHOT) as connection:
            for table in tables:
                if time.monotonic() < end:
                    options = TableOptions(table=spelled(table.schema, table.name))
                    found[table.qualified] = key_advice.fetch_key_advice(connection, table, options)
        return found

    def fetch_counted_times(
        self, tables: Sequence[Table], *, seconds: float = ADVICE_S
    ) -> dict[str, tuple[CountedTime, ...]]:
        """The columns of numbers that look like times in some rows of each table, by `schema.table`.

        No table is looked at once `seconds` have passed.
        """
        found: dict[str, tuple[CountedTime, ...]] = {}
        looks = {t.qualified: [c for c in t.columns if c.readable and epoch_look(c) is not None] for t in tables}
        if not any(looks.values()):
            return found
        end = time.monotonic() + seconds
        with connect(self.address, Work.SNAPSHOT) as connection:
            for table in tables:
                columns = looks[table.qualified]
                if columns and time.monotonic() < end:
                    facts = number_ranges.fetch_number_ranges(connection, table, columns)
                    told = (counted_time(column, facts[column.name]) for column in columns if column.name in facts)
                    found[table.qualified] = tuple(each for each in told if each is not None)
        return found

    def fetch_role(self, tables: Sequence[tuple[str, str]]) -> SourceRole:
        """See `role.fetch_role`."""
        return role.fetch_role(self.address, tables)

    def fetch_table_origin(self, schema: str, table: str) -> SourceOrigin:
        """See `origin.fetch_table_origin`."""
        with connect(self.address) as connection:
            return origin.fetch_table_origin(connection, self.address, schema=schema, table=table)

    def fetch_table_origins(self, tables: Sequence[tuple[str, str]]) -> list[SourceOrigin]:
        """See `origin.fetch_table_origins`."""
        with connect(self.address) as connection:
            return origin.fetch_table_origins(connection, self.address, tables)

    def fetch_table_name(self, oid: int) -> str:
        """See `origin.fetch_table_name`."""
        with connect(self.address) as connection:
            return origin.fetch_table_name(connection, oid)

    @contextmanager
    def open_snapshot(self, *, keep_readers: bool = False) -> Iterator[PostgresSnapshot]:
        """One state of the database, held until the block ends.

        Args: keep_readers: let a reader that was used wait for the next use: for many small tables.
        """
        kept = KeptReaders[PostgresReader]() if keep_readers else None
        with snapshot.open_snapshot(self.address) as held:
            try:
                yield PostgresSnapshot(self.address, held, kept=kept)
            finally:
                if kept is not None:
                    kept.close()
