"""The tables of a database that hold rows which no other of them brings, and what is left out beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from gridferry.model.table import Listing, Table, TableName, TablesLeftOut
from gridferry.source.postgres.catalog import catalog_sql
from gridferry.source.postgres.catalog.catalog import Entry, describe, fetch_entries
from gridferry.source.postgres.session.failures import mapped

Connection = psycopg.Connection[tuple[Any, ...]]

_LISTED_KINDS = frozenset("rpf")  # views repeat what their tables hold
_TIMESCALE = "_timescaledb_"  # its schemas: where it was restored as plain SQL, only their names tell


def fetch_listing(connection: Connection) -> Listing:
    """Every table, partitioned table and foreign table that is worth loading by itself.

    Left out are system schemas and what extensions made, without a word; with one partitions and children of a table
    in the list, what extensions keep in their schemas, and tables without columns. Tables that this role cannot read
    are marked in `Table.blocked`, and their parts stand for themselves.
    """
    with mapped("reading the catalog"):
        all_ = _fetch(connection)
        entries, below, has_parent, internal = all_.entries, all_.below, all_.has_parent, all_.internal
        listed = _described(connection, entries, below, first=all_.tops)
        own: dict[int, list[str]] = defaultdict(list)
        for oid, column in connection.execute(catalog_sql.OWN_COLUMNS, {"oids": list(has_parent)}):
            own[oid].append(column)
    come_with = {top: list(_all_below(top, below, without=listed)) for top in sorted(listed, key=list(entries).index)}
    left_out = [
        _with_parent(entries[top], [entries[o] for o in found], own) for top, found in come_with.items() if found
    ]
    told = {oid for found in come_with.values() for oid in found}
    left_out += _internal([entries[oid] for oid in sorted(internal - told - set(listed))])
    empty = tuple(sorted(entries[oid].qualified for oid in listed if not entries[oid].has_columns))
    if empty:
        left_out.append(TablesLeftOut(empty, "it has no columns" if len(empty) == 1 else "they have no columns"))
    return Listing(
        tuple(table for oid, table in sorted(listed.items(), key=_name) if entries[oid].has_columns), tuple(left_out)
    )


def fetch_table_names(connection: Connection) -> list[TableName]:
    """The names of what `fetch_listing` lists where all can be read, without a look at any of it."""
    with mapped("reading the catalog"):
        all_ = _fetch(connection)
    tops = (all_.entries[oid] for oid in all_.tops)
    return [TableName(entry.schema, entry.name) for entry in tops if entry.has_columns]


@dataclass(frozen=True)
class _All:
    """Everything that may be listed, by oid: what lies below what, and what an extension keeps for itself."""

    entries: dict[int, Entry]
    below: Mapping[int, Sequence[int]]
    has_parent: set[int]
    internal: set[int]

    @property
    def tops(self) -> list[int]:
        """Those that come with no other."""
        return [oid for oid in self.entries if oid not in self.has_parent and oid not in self.internal]


def _fetch(connection: Connection) -> _All:
    entries = {e.oid: e for e in fetch_entries(connection) if e.relkind in _LISTED_KINDS and not e.from_extension}
    below: dict[int, list[int]] = defaultdict(list)
    has_parent: set[int] = set()
    for child, parent in connection.execute(catalog_sql.CHILDREN, {"oids": list(entries)}):
        below[parent].append(child)
        has_parent.update((child,) if parent in entries else ())
    internal = {oid for oid, e in entries.items() if e.extension or e.schema.startswith(_TIMESCALE)}
    return _All(entries, below, has_parent, internal)


def _name(item: tuple[int, Table]) -> tuple[str, str]:
    return item[1].schema, item[1].name


def _described(
    connection: Connection, entries: Mapping[int, Entry], below: Mapping[int, Sequence[int]], *, first: Sequence[int]
) -> dict[int, Table]:
    """These tables, and in place of the rows of those that the role cannot read their parts."""
    found: dict[int, Table] = {}
    level = list(first)
    while level:
        tables = describe(connection, [entries[oid] for oid in level], planned=False)
        found.update(zip(level, tables, strict=True))
        blocked = [oid for oid, table in zip(level, tables, strict=True) if table.blocked]
        parts = {part for oid in blocked for part in below.get(oid, ()) if part in entries}
        level = sorted(parts - found.keys())
    return found


def _all_below(top: int, below: Mapping[int, Sequence[int]], *, without: Mapping[int, Table]) -> Iterator[int]:
    """All parts of a table, and theirs, that are not in the list themselves."""
    seen: set[int] = set()
    waiting = list(below.get(top, ()))
    while waiting:
        oid = waiting.pop()
        if oid not in seen and oid not in without:
            seen.add(oid)
            yield oid
            waiting += below.get(oid, ())


def _with_parent(top: Entry, parts: Sequence[Entry], own: Mapping[int, Sequence[str]]) -> TablesLeftOut:
    names = tuple(sorted(e.qualified for e in parts))
    lost = sorted(f"{column} of {e.qualified}" for e in parts for column in own.get(e.oid, ()))
    but = f", but not what only they have: {', '.join(lost)}" if lost else ""
    return TablesLeftOut(names, f"{'its' if len(names) == 1 else 'their'} rows come with {top.qualified}{but}")


def _internal(entries: Sequence[Entry]) -> Iterator[TablesLeftOut]:
    names: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        names[entry.extension or "timescaledb"].append(entry.qualified)
    for extension, tables in sorted(names.items()):
        yield TablesLeftOut(
            tuple(sorted(tables)), f"the extension {extension} keeps {'it' if len(tables) == 1 else 'them'} for itself"
        )
