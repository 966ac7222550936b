"""The changes of one database behind one object: slots, publications and streams, as the engine asks for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from gridferry.errors import SourceError, Transient
from gridferry.model.change import ChangedRelation
from gridferry.model.migration import MigrationEntry
from gridferry.model.position import LogOrigin, Lsn
from gridferry.model.publishing import ChangeAccess, Obstacle, Publishing
from gridferry.model.table import PgType
from gridferry.source.postgres.catalog.record_text import why_not_hashed
from gridferry.source.postgres.catalog.type_facts import fetch_types
from gridferry.source.postgres.log.decoder import Former, Wanted
from gridferry.source.postgres.log.stream import ChangeStream
from gridferry.source.postgres.session.blockers import Patience
from gridferry.source.postgres.session.connection import PostgresAddress, connect
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.session.replication_session import ReplicationSession
from gridferry.source.postgres.slots.access import fetch_access, other_database
from gridferry.source.postgres.slots.failover import fetch_unsynced
from gridferry.source.postgres.slots.marks import fetch_mark, leave_mark
from gridferry.source.postgres.slots.publications import (
    Membership,
    Publication,
    align_publications,
    change_members,
    fetch_membership,
    fetch_publications,
    fetch_publishing,
)
from gridferry.source.postgres.slots.slot_names import publication_names, slot_name, sync_of
from gridferry.source.postgres.slots.slots import (
    PLUGIN,
    NewSlot,
    SlotFacts,
    check_slot,
    create_slot,
    drop_slot,
    fetch_slot,
    keep_through_failover,
    send_heartbeat,
)

_READABLE = 24  # letters of the table's name that stand in its slot's
_CLOCK = (
    "SELECT pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
)
# A new id, not that of a snapshot's end: a transaction that writes may have one above the last that has ended.
_HORIZON = (
    "SELECT CASE WHEN pg_catalog.pg_is_in_recovery()"  # a standby gives out none, and knows the next one
    " THEN pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) ELSE pg_catalog.txid_current() END,"
    + _CLOCK.removeprefix("SELECT")
)
_OWN_SLOTS = (
    "SELECT s.slot_name::text FROM pg_catalog.pg_replication_slots AS s"
    " WHERE s.plugin = %s AND s.database = pg_catalog.current_database()"
)
_PUBLISHED = "SELECT p.pubname::text FROM pg_catalog.pg_publication AS p WHERE p.pubname = ANY (%s)"
_STANDING = "SELECT s.slot_name::text FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_name = ANY (%s)"


@dataclass(frozen=True)
class ChangeFeed:
    """Where changes come from. Each call has a session of its own, with the server itself and not with a pooler."""

    source: PostgresAddress

    @property
    def address(self) -> PostgresAddress:
        """Where the sessions go."""
        return self.source.for_changes

    def slots_for(self, table: str, target: str, migration: MigrationEntry) -> tuple[str, str]:
        """The two names that a table's slots have in turn, so that a new load's can be made beside the old one's."""
        return self.slot_for(table, target, migration), self.slot_for(table, target, migration, turn="second")

    def slot_for(self, table: str, target: str, migration: MigrationEntry, *, turn: str = "") -> str:
        """The name of the slot that follows `table` (`schema.name`) into `target` for a migration.

        The same for the same table, target, migration and database. The database counts by its OID: it may be renamed,
        and where another of the same server takes its place, the slot that the first one has is not in the way.
        `target` is the address as it is shown, and counts without the user, who may change too.
        """
        whole = "\n".join(
            (target.rpartition("@")[2], migration.key, str(migration.origin.oid), table, *filter(None, [turn]))
        )
        letters = re.sub(r"[^a-z0-9]", "", table.partition(".")[2].lower())[:_READABLE]
        return slot_name(letters + hashlib.sha256(whole.encode()).hexdigest()[:12])

    def stream_slot(self, target: str, migration: MigrationEntry) -> str:
        """The name of the slot that follows all tables of a migration into `target`. The same as for `slot_for`."""
        whole = "\n".join((target.rpartition("@")[2], migration.key, str(migration.origin.oid), "", "all tables"))
        letters = re.sub(r"[^a-z0-9]", "", (migration.name or migration.origin.name).lower())[:_READABLE]
        return slot_name(letters + hashlib.sha256(whole.encode()).hexdigest()[:12])

    def standing(self, slots: Sequence[str]) -> set[str]:
        """Those of some slots that are there."""
        with connect(self.address) as connection, mapped("looking for replication slots"):
            rows = connection.execute(_STANDING, (list(slots),)).fetchall()
        return {name for (name,) in rows}

    def own_slots(self) -> set[str]:
        """The slots of this database whose name is one of gridferry's, whosever they are."""
        with connect(self.address) as connection, mapped("looking for replication slots"):
            rows = connection.execute(_OWN_SLOTS, (PLUGIN,)).fetchall()
        return {name for (name,) in rows if sync_of(name) is not None}

    def left_of(self, slots: Sequence[str]) -> set[str]:
        """Those of some slots that are there, or of which a publication is."""
        named = {name: slot for slot in slots for name in publication_names(slot)}
        with connect(self.address) as connection, mapped("looking for replication slots and publications"):
            there = connection.execute(_STANDING, (list(slots),)).fetchall()
            published = connection.execute(_PUBLISHED, (list(named),)).fetchall()
        return {name for (name,) in there} | {named[name] for (name,) in published}

    def access(self, wanted: Sequence[tuple[str, str, str]]) -> list[ChangeAccess]:
        """See `fetch_access`."""
        other = other_database(self.source)
        with connect(self.address) as connection:
            found = fetch_access(connection, wanted, given=self.address.publications, failover=self.address.failover)
        if not any(access.obstacles for access in found):
            other = other or self._closed()
        if other is None:
            return found
        return [ChangeAccess(access.publishing, (other, *access.obstacles)) for access in found]

    def why_not_hashed(self) -> str:
        """See `record_text.why_not_hashed`."""
        with connect(self.address) as connection:
            return why_not_hashed(connection)

    def _closed(self) -> Obstacle | None:
        """Why the server, which allows it, cannot be asked for changes at this address; None where it can."""
        try:
            self.origin()
        except SourceError as error:
            return Obstacle(error.message, error.next_step, passing=isinstance(error, Transient))
        return None

    def publishing(self, schema: str, table: str) -> Publishing:
        """What may be published of a table. Raises: SourceRefused if nothing may."""
        with connect(self.address) as connection:
            return fetch_publishing(connection, [(schema, table)])[0]

    def publications(self, slot: str) -> list[Publication]:
        """See `fetch_publications`; none where somebody else made those that are used."""
        if self.address.publications:
            return []
        with connect(self.address) as connection:
            return fetch_publications(connection, slot)

    def membership(
        self, slot: str, *, schema: str, table: str, known: Sequence[Publication] | None = None
    ) -> Membership | None:
        """See `fetch_membership`."""
        given = self.address.publications
        with connect(self.address) as connection:
            return fetch_membership(connection, slot, schema=schema, table=table, given=given, known=known)

    def publish(
        self, slot: str, *, add: Sequence[tuple[str, str]] = (), leave: Sequence[tuple[str, str]] = ()
    ) -> list[Publishing]:
        """See `change_members`."""
        return change_members(self.address, slot=slot, add=add, leave=leave)

    def origin(self) -> LogOrigin:
        """Whose log is read here. Raises: SourceRefused, SourceUnreachable."""
        with closing(ReplicationSession(self.address)) as session:
            return session.identify()

    def timeline_ends(self, timeline: int) -> dict[int, Lsn]:
        """Where each timeline before `timeline` ended, by number."""
        with closing(ReplicationSession(self.address)) as session:
            return session.timeline_ends(timeline)

    @contextmanager
    def new_slot(
        self, slot: str, *, tables: Sequence[tuple[str, str]], patience: Patience | None = None
    ) -> Iterator[NewSlot]:
        """Publications and slot of tables (schema, name), made again; what had their names is dropped.

        The snapshot is held until the block ends; the slot stays. If it cannot be made, nothing of it is left.
        Args: as for `create_slot`. Raises: as `create_slot`; SlotInUse.
        """
        drop_slot(self.address, slot)
        align_publications(self.address, slot=slot, tables=tables)
        try:
            with create_slot(self.address, slot, patience=patience) as made:
                yield made
        except BaseException:
            if self.facts(slot) is None:
                drop_slot(self.address, slot)  # the publications, which are of no use without it
            raise

    def drop(self, slot: str) -> list[str]:
        """See `drop_slot`."""
        return drop_slot(self.address, slot)

    def facts(self, slot: str) -> SlotFacts | None:
        """See `fetch_slot`."""
        with connect(self.address) as connection:
            return fetch_slot(connection, slot)

    def check(self, slot: str, *, start: Lsn) -> SlotFacts:
        """See `check_slot`."""
        with connect(self.address) as connection:
            return check_slot(connection, slot, start=start, given=self.address.publications)

    def now(self) -> tuple[Lsn, str]:
        """A position with everything committed before the call in front of it, and the source's time then."""
        with connect(self.address) as connection:
            with mapped("asking for the time"):
                row = connection.execute(_CLOCK).fetchone()
            return send_heartbeat(connection), row[0] if row else ""

    def keep_through_failover(self, slot: str) -> bool:
        """See `keep_through_failover` of `slots`."""
        return keep_through_failover(self.address, slot)

    def unsynced(self, slot: str) -> str:
        """Why a slot that is to survive a failover may not; "" where nothing is in the way, or it is not to."""
        if not self.address.failover:
            return ""
        with connect(self.address) as connection:
            return fetch_unsynced(connection, slot)

    def horizon(self) -> tuple[int, str]:
        """A transaction id above that of all that has written until now, and the source's time then."""
        with connect(self.address) as connection, mapped("asking for a transaction id"):
            row = connection.execute(_HORIZON).fetchone()
        return (int(row[0]), str(row[1])) if row else (0, "")

    def mark(self, slot: str) -> tuple[int, str] | None:
        """See `fetch_mark`."""
        return fetch_mark(self.address, slot)

    def leave_mark(self, slot: str, mark: str) -> int:
        """See `leave_mark`."""
        return leave_mark(self.address, slot, mark)

    def stream(
        self,
        slot: str,
        *,
        start: Lsn,
        wanted: Wanted,
        confirmed: Lsn | None = None,
        former: Former | None = None,
    ) -> ChangeStream:
        """See `ChangeStream`."""
        return ChangeStream(self.address, slot=slot, start=start, wanted=wanted, confirmed=confirmed, former=former)

    def column_types(self, relation: ChangedRelation) -> dict[str, PgType]:
        """The type of each column of a described table, by name; formatted `???` where it is gone."""
        asked = [(column.type_oid, column.typmod) for column in relation.columns]
        with connect(self.address) as connection, mapped(f"reading the column types of {relation.qualified}"):
            types = fetch_types(connection, asked)
        return {column.name: kind for column, kind in zip(relation.columns, types, strict=True)}
