"""Copies of a PostgreSQL that are started as servers of their own: staging, or the green one of blue and green."""

from __future__ import annotations

import shutil
from pathlib import Path

from gridferry.local.postgres import LocalPostgres


def base_backup(server: LocalPostgres) -> LocalPostgres:
    """A base backup, not started yet. System identifier, timeline and OIDs are those of the server; slots are not."""
    copy = server.standby()
    (copy.data / "standby.signal").unlink()
    settings = copy.data / "postgresql.auto.conf"
    kept = [line for line in settings.read_text().splitlines() if not line.startswith("primary_conninfo")]
    settings.write_text("\n".join(kept) + "\n")
    return copy


def keep_files(server: LocalPostgres, folder: Path) -> Path:
    """Copy the files of a server that is stopped, slots and all. Returns where they are."""
    shutil.copytree(server.data, folder)
    return folder


def put_back(server: LocalPostgres, files: Path) -> None:
    """Let a server that is stopped have these files instead of its own, under their owner."""
    owner = server.data.stat()
    for part in server.data.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    shutil.copytree(files, server.data, dirs_exist_ok=True)
    for path in [server.data, *server.data.rglob("*")]:
        shutil.chown(path, owner.st_uid, owner.st_gid)
