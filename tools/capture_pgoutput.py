"""Writes tests/golden/pgoutput.json: what real PostgreSQL servers send for a small history of changes."""

from __future__ import annotations

import json
import select
import sys
from contextlib import closing
from pathlib import Path

import psycopg

from gridferry.local.postgres import LocalPostgres
from gridferry.source.postgres.session.connection import parse_address
from gridferry.source.postgres.session.replication_session import ReplicationSession

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "pgoutput.json"

SETUP = """
CREATE DOMAIN kelvin AS float8;
CREATE TYPE mood AS ENUM ('calm');
CREATE TABLE t (k int PRIMARY KEY, v text, big text, temp kelvin, m mood);
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
CREATE TABLE u (a int, b text);
ALTER TABLE u REPLICA IDENTITY FULL;
CREATE PUBLICATION p FOR TABLE t, u;
"""
_ROLLED_BACK = "SAVEPOINT s; INSERT INTO t (k) VALUES (6); ROLLBACK TO s"
HISTORY = (
    "INSERT INTO t VALUES (1, 'a', repeat('x', 2500), 1.5, 'calm'), (2, NULL, NULL, NULL, NULL)",
    "BEGIN; UPDATE t SET v = 'b' WHERE k = 1; UPDATE t SET k = 3 WHERE k = 2; DELETE FROM t WHERE k = 3; COMMIT",
    "INSERT INTO u VALUES (1, 'x'); UPDATE u SET b = 'ä'; DELETE FROM u",
    "SELECT pg_logical_emit_message(true, 'app', 'hello')",
    "ALTER TABLE t ADD w int; INSERT INTO t (k, w) VALUES (4, 5)",
    f"BEGIN; INSERT INTO t (k) VALUES (5); {_ROLLED_BACK}; INSERT INTO t (k) VALUES (7); COMMIT",
    "BEGIN; INSERT INTO t (k) VALUES (8); ROLLBACK",
    "TRUNCATE t, u RESTART IDENTITY CASCADE",
    "SELECT pg_logical_emit_message(true, 'end', '')",
)


def capture(version: int, *, streaming: bool) -> list[str]:
    """The messages of the history, in hexadecimal."""
    settings = {"debug_logical_replication_streaming": "immediate" if streaming else "buffered"}
    with LocalPostgres(version=version, settings=settings) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(SETUP)
            connection.execute("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
            for statement in HISTORY:
                connection.execute(statement)
        with closing(ReplicationSession(parse_address(server.dsn()))) as session:
            options = "proto_version '4', publication_names 'p', messages 'true'"
            options += ", streaming 'on'" if streaming else ""
            session.run(f"START_REPLICATION SLOT s LOGICAL 0/0 ({options})", doing="capturing")
            return _messages(session.pgconn)


def _messages(pgconn: psycopg.pq.abc.PGconn) -> list[str]:
    found: list[str] = []
    ended = False
    while not (ended and found[-1][:2] in ("43", "63")):  # commit, stream commit
        size, data = pgconn.get_copy_data(1)
        if size == 0:
            select.select([pgconn.socket], [], [])
            pgconn.consume_input()
        elif data[0] == ord("w"):
            found.append(bytes(data[25:]).hex())
            ended = ended or b"end\0" in bytes(data)
    return found


def main() -> int:
    """Capture from each version, streamed and not."""
    captured = {
        f"PostgreSQL {version}, {'streamed' if streaming else 'whole'}": capture(version, streaming=streaming)
        for version in (16, 18)
        for streaming in (False, True)
    }
    GOLDEN.write_text(json.dumps(captured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
