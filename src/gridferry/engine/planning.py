"""The plan of all tables of a config under one snapshot. A table that cannot be read is one problem of the plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gridferry.engine.scope import other_tables
from gridferry.engine.workers import default_workers
from gridferry.errors import FerryError, SourceRefused
from gridferry.model.profile import TableProfile
from gridferry.model.publishing import ChangeAccess, Obstacle
from gridferry.model.table import Table
from gridferry.plan.generated_key import INSTEAD_OF_CDC, NO_CDC
from gridferry.plan.plan import Finding, Plan, Severity, UnreadTable
from gridferry.plan.planner import plan_tables, profile_request, wants_key_advice
from gridferry.plan.source_needs import Wanted
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import KeyWish, TableOptions
from gridferry.plan.table_overlap import overlap_findings
from gridferry.source.postgres.feed import ChangeFeed
from gridferry.source.postgres.one_snapshot import PostgresSnapshot
from gridferry.source.postgres.source import ADVICE_S, PostgresSource


def plan_all(
    source: PostgresSource,
    chosen: Sequence[TableOptions],
    *,
    slots: Callable[[TableOptions], Sequence[str]],
    shared: bool,
    target: str,
    warnings: Sequence[str] = (),
    configured: Sequence[TableOptions],
) -> Plan:
    """What would be done with the tables, and every problem of every table. Reads the source only.

    Args: slots: the names that a table's replication slot may have; shared: whether one is to follow all; target: for
        people; warnings: of the config's patterns; configured: all tables of the config.
    Raises: what concerns all tables alike (see `FerryError.concerns_all`); nothing that is one table's.
    """
    planning = _Planning(chosen)
    with source.open_snapshot() as view:
        found = planning.described(view)
        profiles: dict[str, TableProfile] = {}
        apart = view.apart_each()
        looking_until = time.monotonic() + ADVICE_S
        for options in chosen:
            if options.table in found:
                with planning.of(options), apart():
                    table = found[options.table]
                    profile = view.fetch_profile(profile_request(table, options))
                    if time.monotonic() < looking_until and wants_key_advice(table, options, profile):
                        profile = replace(profile, advice=view.fetch_key_advice(table, options))
                    profiles[options.table] = profile
        others = other_tables(view, configured)
        access = planning.access(ChangeFeed(source.address), found, slots)
        facts = [
            (found[o.table], profiles[o.table], o, access.get(o.table))
            for o in chosen
            if o.table not in planning.unread
        ]
    role = source.fetch_role([(table.schema, table.name) for table in found.values()])
    wanted = Wanted(default_workers(), len(planning.slots), len(planning.new_slots), shared=shared)
    unread = tuple(planning.unread.values())
    made = plan_tables(facts, unread, source=source.display, target=target, others=others, role=role, wanted=wanted)
    told = tuple(Finding(Severity.RISK, "config", warning) for warning in warnings)
    return replace(made, findings=(*made.findings, *told, *overlap_findings(list(found.values()))))


def _table(found: Table | SourceRefused) -> Table:
    if isinstance(found, SourceRefused):
        raise found
    return found


class _Planning:
    """The tables of one plan, and why some of them cannot be planned."""

    def __init__(self, chosen: Sequence[TableOptions]) -> None:
        self._chosen = chosen
        self.unread: dict[str, UnreadTable] = {}  # by the table's name in the config, as all that is found of tables
        self.slots: set[str] = set()  # that are to follow tables, once `access` has asked; and those to be made
        self.new_slots: set[str] = set()

    @contextmanager
    def of(self, options: TableOptions) -> Iterator[None]:
        """Note what fails inside as a problem of this table. Raises: what concerns all tables."""
        try:
            yield
        except FerryError as error:
            if error.concerns_all:
                raise
            finding = Finding(Severity.PROBLEM, options.table, error.message, error.next_step)
            self.unread[options.table] = UnreadTable(options.qualified, finding)

    def described(self, view: PostgresSnapshot) -> dict[str, Table]:
        """The tables that there are and that can be read: by one question, or by one each where some cannot."""
        names = [options.table for options in self._chosen]
        found: dict[str, Table] = {}
        try:
            with view.apart():
                each = view.fetch_each(names)
        except FerryError as error:
            if error.concerns_all:
                raise
        else:
            for options, table in zip(self._chosen, each, strict=True):
                with self.of(options):
                    found[options.table] = _table(table)
            return found
        for options in self._chosen:
            with self.of(options), view.apart():
                (found[options.table],) = view.fetch_tables([options.table])
        return found

    def access(
        self, feed: ChangeFeed, found: dict[str, Table], slots: Callable[[TableOptions], Sequence[str]]
    ) -> dict[str, ChangeAccess]:
        """What the source allows of the tables in mode cdc. Asked for all at once: they share its free slots."""
        followed = [
            o for o in self._chosen if o.sync_mode is SyncMode.CDC and o.table in found and o.table not in self.unread
        ]
        named = [slots(o) for o in followed]
        standing = feed.standing([name for names in named for name in names]) if named else set()
        against = feed.why_not_hashed() if any(o.key is KeyWish.GENERATED for o in followed) else ""
        hashed = Obstacle(f"{NO_CDC}: {against}", INSTEAD_OF_CDC)
        wanted = [
            (found[o.table].schema, found[o.table].name, min(names, key=lambda name: name not in standing))
            for o, names in zip(followed, named, strict=True)
        ]
        self.slots = {slot for _, _, slot in wanted}
        self.new_slots = self.slots - standing
        try:
            answers = feed.access(wanted) if wanted else []
            return {
                o.table: replace(access, obstacles=(hashed, *access.obstacles))
                if against and o.key is KeyWish.GENERATED
                else access
                for o, access in zip(followed, answers, strict=True)
            }
        except FerryError as error:
            if error.concerns_all:
                raise
        allowed: dict[str, ChangeAccess] = {}
        for options, asked in zip(followed, wanted, strict=True):
            with self.of(options):
                (allowed[options.table],) = feed.access([asked])
        return allowed
