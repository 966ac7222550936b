"""Writes transactions to the source at a steady rate, in a process of its own, and reports when each was committed.

Reads a document: dsn, table, first (the first new row's number), rate (changes a second), seconds, inserts, updates,
deletes (of each transaction). Prints one: changes, seconds, late_s (how far behind its clock it was at worst), and
`commits`, for each transaction when it was asked for by the machine's monotonic clock and a position in the log that
is not before its commit.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import psycopg


def write(asked: dict[str, Any]) -> dict[str, Any]:
    """Returns what is printed."""
    inserts, updates, deletes = (int(asked[what]) for what in ("inserts", "updates", "deletes"))
    each = inserts + updates + deletes
    count = max(1, round(asked["rate"] * asked["seconds"] / each))
    commits: list[tuple[float, str]] = []
    late_s = 0.0
    # The commit is on disk when it returns, as an application's is: unflushed log is not streamed.
    with psycopg.connect(asked["dsn"], autocommit=True, options="-c synchronous_commit=on") as connection:
        started = time.monotonic()
        for number in range(count):
            due = started + number * each / asked["rate"]
            now = time.monotonic()
            if now < due:
                time.sleep(due - now)
            late_s = max(late_s, now - due)
            first = asked["first"] + number * inserts
            begun = time.monotonic()
            # One message: the transaction, and after it where the log ends.
            answer = connection.execute(
                f"BEGIN; CALL {asked['table']}_mixed({first}, {inserts}, {updates}, {deletes}); COMMIT;"
                " SELECT pg_current_wal_insert_lsn()::text".encode()
            )
            while answer.nextset():
                pass
            row = answer.fetchone()
            commits.append((begun, row[0] if row else ""))
        seconds = time.monotonic() - started
    return {"changes": count * each, "seconds": seconds, "late_s": late_s, "commits": commits}


if __name__ == "__main__":
    print(json.dumps(write(json.load(sys.stdin))))
