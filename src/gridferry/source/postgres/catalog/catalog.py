"""Tables as PostgreSQL's system catalogs describe them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import SourceRefused
from gridferry.model.table import Column, Relation, Table, UniqueKey
from gridferry.source.postgres.catalog import catalog_sql
from gridferry.source.postgres.catalog.own_heap import HYPERTABLE, KINDS, fetch_compressed, fetch_kept, find_scans
from gridferry.source.postgres.catalog.pg_types import RawType, pg_type
from gridferry.source.postgres.session.failures import mapped
from gridferry.source.postgres.sql.names import listed_names, name_readings, near_names, relation_sql

Connection = psycopg.Connection[tuple[Any, ...]]

READABLE_KINDS = frozenset("rpvmf")  # pg_class.relkind: table, partitioned table, view, materialized view, foreign


@dataclass(frozen=True)
class Entry:
    """One row of pg_class, as far as names are resolved with it.

    `extension` is the one that made its schema, or "".
    """

    oid: int
    schema: str
    name: str
    relkind: str
    is_partition: bool
    from_extension: bool
    extension: str
    has_columns: bool

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


def fetch_tables(connection: Connection, names: Sequence[str]) -> list[Table]:
    """The tables called `names`, in that order.

    A name is `table` or `schema.table`, quoted or not (see `names.name_readings`); without a schema the role's
    own search path decides.
    Raises: SourceRefused, naming every table that is missing, or that this role cannot read in full.
    """
    with mapped("reading the catalog"):
        found = _resolve(connection, names)
        wrong = [each for each in found if isinstance(each, str)]
        if wrong:
            raise _misnamed(wrong)
        tables = describe(connection, [each for each in found if isinstance(each, Entry)], planned=True)
    blocked = [table for table in tables if table.blocked]
    if blocked:
        raise _unreadable(blocked)
    return tables


def fetch_each(connection: Connection, names: Sequence[str]) -> list[Table | SourceRefused]:
    """As `fetch_tables`, with the error of a table in its place: one look at the catalog tells what all of them need.

    Raises: SourceRefused for a table that is dropped meanwhile; SourceUnreachable.
    """
    with mapped("reading the catalog"):
        found = _resolve(connection, names)
        tables = iter(describe(connection, [each for each in found if isinstance(each, Entry)], planned=True))
        given = [_misnamed([each]) if isinstance(each, str) else next(tables) for each in found]
    return [_unreadable([each]) if isinstance(each, Table) and each.blocked else each for each in given]


def fetch_entries(connection: Connection, names: Sequence[str] | None = None) -> list[Entry]:
    """All relations outside the system's schemas; with `names` those that are called so, in any schema."""
    asked = {"names": None if names is None else list(names)}
    return [Entry(*row) for row in connection.execute(catalog_sql.ENTRIES, asked)]


def _search_path(connection: Connection) -> list[str]:
    """The schemas in which the role's unqualified names are looked for, in order. Ours is another (`transactions`)."""
    ((written, role),) = connection.execute(catalog_sql.PATH).fetchall()
    path = [role if name == "$user" else name for name in listed_names(written)]
    usable = {name for (name,) in connection.execute(catalog_sql.USABLE, {"schemas": path})}
    return [name for name in dict.fromkeys(path) if name in usable]


def _resolve(connection: Connection, names: Sequence[str]) -> list[Entry | str]:
    """The entry of each name; or what is wrong with it, where it fits none, or several."""
    parts = {table for name in names for tier in name_readings(name) for _, table in tier}
    path = _search_path(connection)
    found = _meant(names, fetch_entries(connection, sorted(parts)), path=path)
    if any(isinstance(each, str) for each in found):  # with all of them, to say which may be meant
        found = _meant(names, fetch_entries(connection), path=path)
    return found


def _meant(names: Sequence[str], entries: Sequence[Entry], *, path: Sequence[str]) -> list[Entry | str]:
    by_name: dict[tuple[str, str], Entry] = {(e.schema, e.name): e for e in entries}
    in_path = {e.name: e for schema in reversed(path) for e in entries if e.schema == schema}
    chosen: list[Entry | str] = []
    for name in names:
        found: list[Entry] = []
        for tier in name_readings(name):
            hits = [in_path.get(table) if schema is None else by_name.get((schema, table)) for schema, table in tier]
            found = list({e.oid: e for e in hits if e is not None}.values())
            if found:
                break
        if len(found) == 1 and found[0].relkind in READABLE_KINDS:
            chosen.append(found[0])
        else:
            chosen.append(_naming_problem(name, found, entries))
    return chosen


def _misnamed(problems: Sequence[str]) -> SourceRefused:
    return SourceRefused(
        "; ".join(problems),
        state="nothing was read",
        next_step="correct the names; `gridferry init -o -` lists the tables",
    )


def _naming_problem(name: str, found: Sequence[Entry], entries: Sequence[Entry]) -> str:
    if len(found) > 1:
        meanings = " or ".join(relation_sql(e.schema, e.name).as_string(None) for e in found)
        return f"the name {name} is ambiguous: {meanings}"
    if found:
        return f"{name} is not a table or view"
    near = near_names(name, [e.qualified for e in entries if e.relkind in READABLE_KINDS])
    return f"there is no table {name}" + (f" (did you mean {' or '.join(near)}?)" if near else "")


def _unreadable(tables: Iterable[Table]) -> SourceRefused:
    blocked = [table.blocked for table in tables]
    return SourceRefused(
        "; ".join(reason.partition("\n")[0] for reason in blocked),
        state="nothing was read",
        next_step=" ".join(dict.fromkeys(reason.partition("\n")[2] for reason in blocked)),
    )


def describe(connection: Connection, entries: Sequence[Entry], *, planned: bool) -> list[Table]:
    """Everything `Table` holds, for each entry: one statement a kind of fact, whatever the number of tables.

    With `planned` also one for every hundred tables that seem to be heaps: who would scan them.
    """
    oids = [e.oid for e in entries]
    version = connection.info.server_version
    tables = {row[0]: row for row in connection.execute(catalog_sql.TABLES, {"oids": oids})}
    columns: dict[int, list[Column]] = defaultdict(list)
    for oid, *row in connection.execute(catalog_sql.COLUMNS, {"oids": oids}):
        columns[oid].append(_column(row))
    keys: dict[int, list[UniqueKey]] = defaultdict(list)
    for oid, name, parts, primary, nulls_distinct in connection.execute(catalog_sql.keys(version), {"oids": oids}):
        keys[oid].append(UniqueKey(name, tuple(parts), primary=primary, nulls_distinct=nulls_distinct))
    indexed: dict[int, set[str]] = defaultdict(set)
    for oid, column in connection.execute(catalog_sql.INDEXED, {"oids": oids}):
        indexed[oid].add(column)
    kept = fetch_kept(connection, oids)
    relations, reasons = _relations(connection, entries, kept)
    blocked: dict[int, str] = {}
    for entry in entries:
        if entry.oid not in tables:  # dropped a moment ago
            raise SourceRefused(f"the table {entry.qualified} was dropped meanwhile", next_step="run the command again")
        _, _, may_select, may_use, row_security, role = tables[entry.oid]
        some = any(column.readable for column in columns[entry.oid])  # the plan says which are not
        if some and not may_select:
            # ctid and xmin are columns too, which a grant of some columns does not show.
            relations[entry.oid] = tuple(replace(leaf, heap=False) for leaf in relations[entry.oid])
            reasons[entry.oid] = reasons[entry.oid] or "the role may read some of its columns only"
        blocked[entry.oid] = _blocked(
            entry, may_select=may_select or some, may_use=may_use, row_security=row_security, role=role
        )
    heaps = [e for e in entries if planned and not blocked[e.oid] and relations[e.oid] and not reasons[e.oid]]
    readers = find_scans(connection, [(e.schema, e.name) for e in heaps])
    described = []
    for entry in entries:
        leaves, elsewhere = relations[entry.oid], reasons[entry.oid] or readers.get((entry.schema, entry.name), "")
        if elsewhere and not reasons[entry.oid]:
            leaves = (_whole(entry, leaves),)
        compressed, octets = fetch_compressed(connection, entry.schema, entry.name) if entry.oid in kept else (0, 0)
        if compressed:
            leaves = tuple(replace(leaf, row_estimate=leaf.row_estimate + compressed) for leaf in leaves)
        described.append(
            Table(
                schema=entry.schema,
                name=entry.name,
                relkind=entry.relkind,
                columns=tuple(columns[entry.oid]),
                # An index of an inheritance parent says nothing about the rows of its children. Those of a hypertable
                # are made on each of its chunks.
                keys=() if _inherited(entry, leaves) and entry.oid not in kept else tuple(keys[entry.oid]),
                relations=leaves,
                row_estimate=sum(leaf.row_estimate for leaf in leaves),
                size_bytes=tables[entry.oid][1] + octets,
                indexed=frozenset(indexed[entry.oid]),
                blocked=blocked[entry.oid],
                elsewhere=elsewhere,
                hypertable=kept.get(entry.oid) == HYPERTABLE,
            )
        )
    return described


def _inherited(entry: Entry, leaves: tuple[Relation, ...]) -> bool:
    """Whether there are tables that inherit from this one, other than its partitions."""
    return entry.relkind != "p" and (len(leaves) > 1 or any(leaf.tree for leaf in leaves))


def _whole(entry: Entry, leaves: Sequence[Relation]) -> Relation:
    """One relation that stands for all of a table's, to be read by a scan of the table itself."""
    return Relation(
        entry.schema,
        entry.name,
        sum(leaf.pages for leaf in leaves),
        sum(leaf.row_estimate for leaf in leaves),
        relkind=entry.relkind,
        heap=False,
        tree=True,
    )


def _column(row: Sequence[Any]) -> Column:
    """A row of `catalog_sql.COLUMNS`, without its table."""
    name, not_null, generated, formatted, domain, *raw_type, readable, number = row
    typname, schema, typtype, category, shadows, typmod = raw_type
    raw = RawType(typname, schema, typtype, category, shadows=shadows, typmod=typmod)
    return Column(
        name,
        pg_type(raw, formatted=formatted, domain=domain),
        nullable=not not_null,
        generated=generated,
        readable=readable,
        number=number,
    )


def _relations(
    connection: Connection, entries: Sequence[Entry], kept: Mapping[int, str]
) -> tuple[dict[int, tuple[Relation, ...]], dict[int, str]]:
    """The relations to read for each table's oid, and why some of its rows lie in no heap of its own; or "".

    Those are its leaves; or the table itself where a leaf may not be read directly (a privilege on a partitioned table
    reaches its partitions only through the table), and where TimescaleDB keeps it (see `own_heap`).
    """
    found: dict[int, list[tuple[Relation, bool]]] = defaultdict(list)
    odd: dict[int, list[str]] = defaultdict(list)
    for root, *row in connection.execute(catalog_sql.RELATIONS, {"oids": [e.oid for e in entries]}):
        schema, name, relkind, heap, access_method, pages, estimate, readable = row
        found[root].append((Relation(schema, name, pages, estimate, relkind=relkind, heap=heap), readable))
        if not heap:
            odd[root].append(_reason(f"{schema}.{name}", relkind, access_method))
    relations: dict[int, tuple[Relation, ...]] = {}
    reasons: dict[int, str] = {}
    for entry in entries:
        leaves = tuple(leaf for leaf, _ in found[entry.oid])
        tree = len(leaves) > 1 or entry.relkind == "p"
        relations[entry.oid] = leaves
        reasons[entry.oid] = ""
        if tree and odd[entry.oid]:
            reasons[entry.oid] = f"a part of it has its rows elsewhere: {odd[entry.oid][0]}"
        elif odd[entry.oid]:
            reasons[entry.oid] = odd[entry.oid][0].replace(f"{entry.qualified} ", "it ", 1)
        if entry.oid in kept:
            relations[entry.oid], reasons[entry.oid] = (_whole(entry, leaves),), kept[entry.oid]
        elif tree and not all(readable for _, readable in found[entry.oid]):
            relations[entry.oid] = (_whole(entry, leaves),)
            reasons[entry.oid] = "its parts may be read through it only"
    return relations, reasons


def _reason(name: str, relkind: str, access_method: str) -> str:
    if relkind in KINDS:
        return f"{name} is a {KINDS[relkind]}"
    return f"{name} has the table access method {access_method}"


def _blocked(entry: Entry, *, may_select: bool, may_use: bool, row_security: bool, role: str) -> str:
    """Why the role cannot read all rows, a line break, and the next step; or ""."""
    table = relation_sql(entry.schema, entry.name).as_string(None)
    grantee = sql.Identifier(role).as_string(None)
    schema = sql.Identifier(entry.schema).as_string(None)
    if not may_use:
        return (
            f"the role {role} may not use the schema {entry.schema} of the table {entry.qualified}\n"
            f"GRANT USAGE ON SCHEMA {schema} TO {grantee}; GRANT SELECT ON {table} TO {grantee};"
        )
    if not may_select:
        return f"the role {role} may not read the table {entry.qualified}\nGRANT SELECT ON {table} TO {grantee};"
    if row_security:
        return (
            f"row-level security hides rows of the table {entry.qualified} from the role {role}\n"
            "log in as a role with BYPASSRLS, or as the table's owner where row security is not forced."
        )
    return ""
