"""Tables as PostgreSQL's system catalogs describe them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from gridferry.errors import SourceRefused
from gridferry.model.table import Column, Relation, Table, UniqueKey
from gridferry.source.postgres import catalog_sql
from gridferry.source.postgres.failures import mapped
from gridferry.source.postgres.names import listed_names, name_readings, near_names, relation_sql
from gridferry.source.postgres.pg_types import RawType, pg_type

Connection = psycopg.Connection[tuple[Any, ...]]

READABLE_KINDS = frozenset("rpvmf")  # pg_class.relkind: table, partitioned table, view, materialized view, foreign
_LISTED_KINDS = frozenset("rpf")  # what a list of all tables holds: views repeat what their tables hold


@dataclass(frozen=True)
class _Entry:
    """One row of pg_class, as far as names are resolved with it."""

    oid: int
    schema: str
    name: str
    relkind: str
    is_partition: bool
    from_extension: bool

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


def fetch_tables(connection: Connection, names: Sequence[str] | None = None) -> list[Table]:
    """The tables called `names`, in that order; without names every table, partitioned table and foreign table.

    A name is `table` or `schema.table`, quoted or not (see `names.name_readings`); without a schema the role's own
    search path decides. A list of all tables leaves out partitions (they belong to their table), system schemas and
    what extensions made, and marks tables that this role cannot read in `Table.blocked`.
    Raises: SourceRefused, naming every table that is missing, or that this role cannot read in full.
    """
    with mapped("reading the catalog"):
        entries = [_Entry(*row) for row in connection.execute(catalog_sql.ENTRIES)]
        if names is None:
            chosen = [e for e in entries if _is_listed(e)]
        else:
            chosen = _resolve(names, entries, path=_search_path(connection))
        tables = _describe(connection, chosen)
    if names is not None:
        _refuse_blocked(tables)
    return tables


def fetch_table_names(connection: Connection) -> list[str]:
    """The names, `schema.table`, of what a list of all tables has (see `fetch_tables`), without a look at any of it."""
    with mapped("reading the catalog"):
        entries = [_Entry(*row) for row in connection.execute(catalog_sql.ENTRIES)]
    return [entry.qualified for entry in entries if _is_listed(entry)]


def _is_listed(entry: _Entry) -> bool:
    return entry.relkind in _LISTED_KINDS and not entry.is_partition and not entry.from_extension


def _search_path(connection: Connection) -> list[str]:
    """The schemas in which the role's unqualified names are looked for, in order. Ours is another (`transactions`)."""
    ((written, role),) = connection.execute(catalog_sql.PATH).fetchall()
    path = [role if name == "$user" else name for name in listed_names(written)]
    usable = {name for (name,) in connection.execute(catalog_sql.USABLE, {"schemas": path})}
    return [name for name in dict.fromkeys(path) if name in usable]


def _resolve(names: Sequence[str], entries: Sequence[_Entry], *, path: Sequence[str]) -> list[_Entry]:
    """The entry of each name. Raises: SourceRefused for all names that fit none, or several."""
    by_name: dict[tuple[str, str], _Entry] = {(e.schema, e.name): e for e in entries}
    in_path = {e.name: e for schema in reversed(path) for e in entries if e.schema == schema}
    chosen: list[_Entry] = []
    problems: list[str] = []
    for name in names:
        found: list[_Entry] = []
        for tier in name_readings(name):
            hits = [in_path.get(table) if schema is None else by_name.get((schema, table)) for schema, table in tier]
            found = list({e.oid: e for e in hits if e is not None}.values())
            if found:
                break
        if len(found) == 1 and found[0].relkind in READABLE_KINDS:
            chosen.append(found[0])
        else:
            problems.append(_naming_problem(name, found, entries))
    if problems:
        raise SourceRefused(
            "; ".join(problems),
            state="nothing was read",
            next_step="correct the names; `gridferry init -o -` lists the tables",
        )
    return chosen


def _naming_problem(name: str, found: Sequence[_Entry], entries: Sequence[_Entry]) -> str:
    if len(found) > 1:
        meanings = " or ".join(relation_sql(e.schema, e.name).as_string(None) for e in found)
        return f"the name {name} is ambiguous: {meanings}"
    if found:
        return f"{name} is not a table or view"
    near = near_names(name, [e.qualified for e in entries if e.relkind in READABLE_KINDS])
    return f"there is no table {name}" + (f" (did you mean {' or '.join(near)}?)" if near else "")


def _refuse_blocked(tables: Iterable[Table]) -> None:
    blocked = [t.blocked for t in tables if t.blocked]
    if blocked:
        raise SourceRefused(
            "; ".join(reason.partition("\n")[0] for reason in blocked),
            state="nothing was read",
            next_step=" ".join(dict.fromkeys(reason.partition("\n")[2] for reason in blocked)),
        )


def _describe(connection: Connection, entries: Sequence[_Entry]) -> list[Table]:
    """Everything `Table` holds, for each entry: one statement a kind of fact, whatever the number of tables."""
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
    relations = _relations(connection, entries)
    described = []
    for entry in entries:
        if entry.oid not in tables:  # dropped a moment ago
            raise SourceRefused(f"the table {entry.qualified} was dropped meanwhile", next_step="run the command again")
        _, size, may_select, may_use, row_security, role = tables[entry.oid]
        leaves = relations[entry.oid]
        described.append(
            Table(
                schema=entry.schema,
                name=entry.name,
                relkind=entry.relkind,
                columns=tuple(columns[entry.oid]),
                # An index of an inheritance parent says nothing about the rows of its children.
                keys=() if _has_children(entry, leaves) else tuple(keys[entry.oid]),
                relations=leaves,
                row_estimate=sum(leaf.row_estimate for leaf in leaves),
                size_bytes=size,
                indexed=frozenset(indexed[entry.oid]),
                blocked=_blocked(entry, may_select=may_select, may_use=may_use, row_security=row_security, role=role),
            )
        )
    return described


def _has_children(entry: _Entry, leaves: tuple[Relation, ...]) -> bool:
    return entry.relkind != "p" and len(leaves) > 1


def _column(row: Sequence[Any]) -> Column:
    """A row of `catalog_sql.COLUMNS`, without its table."""
    name, not_null, generated, formatted, domain, typname, schema, typtype, category, shadows, typmod = row
    raw = RawType(typname, schema, typtype, category, shadows=shadows, typmod=typmod)
    return Column(name, pg_type(raw, formatted=formatted, domain=domain), nullable=not not_null, generated=generated)


def _relations(connection: Connection, entries: Sequence[_Entry]) -> dict[int, tuple[Relation, ...]]:
    """The relations to read for each table's oid.

    Those are its leaves; or the table itself where a leaf may not be read directly: a privilege on a partitioned
    table reaches its partitions only through the table.
    """
    found: dict[int, list[tuple[Relation, bool]]] = defaultdict(list)
    for root, *row in connection.execute(catalog_sql.RELATIONS, {"oids": [e.oid for e in entries]}):
        schema, name, relkind, heap, pages, estimate, readable = row
        found[root].append((Relation(schema, name, pages, estimate, relkind=relkind, heap=heap), readable))
    relations: dict[int, tuple[Relation, ...]] = {}
    for entry in entries:
        leaves = found[entry.oid]
        if len(leaves) > 1 or entry.relkind == "p":
            if all(readable for _, readable in leaves):
                relations[entry.oid] = tuple(leaf for leaf, _ in leaves)
                continue
            pages, rows = sum(leaf.pages for leaf, _ in leaves), sum(leaf.row_estimate for leaf, _ in leaves)
            whole = Relation(entry.schema, entry.name, pages, rows, relkind=entry.relkind, heap=False, tree=True)
            relations[entry.oid] = (whole,)
        else:
            relations[entry.oid] = tuple(leaf for leaf, _ in leaves)
    return relations


def _blocked(entry: _Entry, *, may_select: bool, may_use: bool, row_security: bool, role: str) -> str:
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
