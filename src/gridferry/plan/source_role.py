"""What is worth knowing about the role at the source, before anything is done with it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gridferry.model.source_role import SourceRole
from gridferry.plan.plan import Finding, Severity

_MOST_NAMED, _FEW_NAMED = 20, 3  # tables in a statement that is shown
_WHY_LIFTED = {
    "statement_timeout": "one statement reads a whole chunk of a table",
    "idle_in_transaction_session_timeout": "a snapshot is held while others read under it",
    "transaction_timeout": "a snapshot is held until all is read",
}


def role_findings(
    role: SourceRole, *, tables: Sequence[tuple[str, str]], followed: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    """Rights that are not needed, and limits that cannot be kept.

    Args: tables: (schema, table) of all in the plan; followed: those of mode cdc.
    """
    if role.pooled:
        yield Finding(
            Severity.RISK,
            "pooler",
            "a pooler is in front of the server: a load, a sync or a verification holds two of its sessions while it "
            "reads, with one worker, and the application waits where the pool has no more",
            "have three or more sessions in the pool, or give the server's own address as the source",
        )
    yield from _rights(role, tables, followed)
    if not role.knows_system:
        yield Finding(
            Severity.RISK,
            "identity",
            f"the role {role.name} may not ask for the server's system identifier: another server with the same OIDs "
            "at the same address is told from this one by its start and its rows alone",
            f"in the database {role.database}: GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO "
            f"{quoted(role.name)};",
        )
    for name, value in role.limits.items():
        yield Finding(
            Severity.INFO,
            name,
            f"{value} for the role {role.name}; lifted for the transactions that read rows or hold a snapshot, and for "
            f"no other: {_WHY_LIFTED.get(name, 'they are long')}",
        )
    if role.lock_wait is not None:
        theirs, ours = role.lock_wait
        yield Finding(
            Severity.INFO,
            "lock_timeout",
            f"{theirs} for the role {role.name}; gridferry waits up to {ours} for a lock all the same, and then says "
            "who holds it",
        )


def _rights(
    role: SourceRole, tables: Sequence[tuple[str, str]], followed: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    if "SUPERUSER" in role.extra:
        yield Finding(
            Severity.RISK,
            role.name,
            "is a superuser: whoever gets hold of its password has the whole server",
            least_rights(role.database, tables, followed=followed),
        )
        return
    # Row security may be the reason for BYPASSRLS, and mode cdc that for REPLICATION.
    more = [word for word in role.extra if word != "BYPASSRLS" and not (word == "REPLICATION" and followed)]
    if more:
        taken = " ".join(f"NO{word}" for word in more)
        yield Finding(
            Severity.RISK,
            role.name,
            f"has rights that are not needed: {', '.join(more)}",
            f"ALTER ROLE {quoted(role.name)} {taken};",
        )
    owned = [table for table in role.owned if table not in followed]
    if owned:
        named = ", ".join(".".join(table) for table in owned[:3])
        named += f" and {len(owned) - 3:,} more" if len(owned) > 3 else ""
        yield Finding(
            Severity.RISK,
            role.name,
            f"owns {named}, and could change or drop what it only has to read",
            least_rights(role.database, tables, followed=followed),
        )


def least_rights(
    database: str, tables: Sequence[tuple[str, str]], *, followed: Sequence[tuple[str, str]], role: str = "gridferry"
) -> str:
    """The statements that make a role that may do what is needed and nothing else."""
    name = quoted(role)
    schemas = dict.fromkeys(schema for schema, _ in tables)
    statements = [f"CREATE ROLE {name} LOGIN{' REPLICATION' if followed else ''}"]
    statements += [f"GRANT CONNECT{', CREATE' if followed else ''} ON DATABASE {quoted(database)} TO {name}"]
    statements += [f"GRANT USAGE ON SCHEMA {quoted(schema)} TO {name}" for schema in schemas]
    shown = tables if len(tables) <= _MOST_NAMED else tables[:_FEW_NAMED]
    reads = ", ".join(f"{quoted(schema)}.{quoted(table)}" for schema, table in shown)
    reads += f" and the {len(tables) - len(shown):,} other tables" if len(shown) < len(tables) else ""
    statements += [f"GRANT SELECT ON {reads} TO {name}"]
    text = "; ".join(statements) + ";"
    if followed:
        text += " and membership in the role that owns the tables of mode cdc: only an owner may publish a table"
    return text


def quoted(name: str) -> str:
    """A name as PostgreSQL's statements have it."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and name == name.lower() and not name[:1].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'
