"""Copies of a PostgreSQL that are started as servers of their own: staging, or the green one of blue and green."""

from __future__ import annotations

from gridferry.local.postgres import LocalPostgres


def base_backup(server: LocalPostgres) -> LocalPostgres:
    """A base backup, not started yet. System identifier, timeline and OIDs are those of the server; slots are not."""
    copy = server.standby()
    (copy.data / "standby.signal").unlink()
    settings = copy.data / "postgresql.auto.conf"
    kept = [line for line in settings.read_text().splitlines() if not line.startswith("primary_conninfo")]
    settings.write_text("\n".join(kept) + "\n")
    return copy
