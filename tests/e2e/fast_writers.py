"""Writers that change rows of the table of readings by the thousand, in transactions of some hundred rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Database

WRITERS = 3
ROWS_A_SECOND = 10_000
CALM = 3_000  # the writers leave the keys below alone
ROWS = 60_000
FLICKER = 10_000_000  # the first of the keys whose rows come and go about once a second
FLICKERING = 2_100
_STEP_S = 0.1

# Each writer has the keys that leave its own rest, so that none waits for another. A third of the changes are updates;
# the others are deletes, inserts, moves to another container, changes of the key, and rows that come and go.
_CHANGE = f"""
CREATE FUNCTION change(writer int, size int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE keys int[]; done bigint; total bigint := 0;
BEGIN
    keys := own_keys(writer, {CALM}, {ROWS}, size / 3);
    UPDATE reading SET n = n + 1, note = 'updated ' || n WHERE k = ANY(keys);
    GET DIAGNOSTICS done = ROW_COUNT; total := total + done;
    keys := own_keys(writer, {CALM}, {ROWS}, size / 6);
    DELETE FROM reading WHERE k = ANY(keys) AND n % 2 = 0;
    GET DIAGNOSTICS done = ROW_COUNT; total := total + done;
    INSERT INTO reading SELECT i, 'd' || i % 7, writer, 'again' FROM unnest(keys) AS i
        WHERE NOT EXISTS (SELECT FROM reading WHERE k IN (i, i + 3000000));
    GET DIAGNOSTICS done = ROW_COUNT; total := total + done;
    keys := own_keys(writer, {CALM}, {ROWS}, size / 8);
    UPDATE reading SET device = 'd' || (n + k) % 7, n = n + 1 WHERE k = ANY(keys);
    GET DIAGNOSTICS done = ROW_COUNT; total := total + done;
    keys := own_keys(writer, {CALM}, {ROWS}, size / 16);
    UPDATE reading SET k = CASE WHEN k < 3000000 THEN k + 3000000 ELSE k - 3000000 END, n = n + 1
        WHERE k = ANY(keys) OR k - 3000000 = ANY(keys);
    GET DIAGNOSTICS done = ROW_COUNT; total := total + done;
    keys := own_keys(writer, {FLICKER}, {FLICKERING}, size / 5);
    WITH gone AS (DELETE FROM reading WHERE k = ANY(keys) RETURNING k)
        INSERT INTO reading SELECT i, 'd' || i % 7, 0, 'come' FROM unnest(keys) AS i EXCEPT
        SELECT k, 'd' || k % 7, 0, 'come' FROM gone;
    total := total + cardinality(keys);
    RETURN total;
END $$
"""
_OWN_KEYS = f"""
CREATE FUNCTION own_keys(writer int, low int, most int, count int) RETURNS int[] LANGUAGE sql VOLATILE AS $$
    SELECT array_agg(low + ((start + i) % (most / {WRITERS})) * {WRITERS} + writer)
    FROM (SELECT (random() * most / {WRITERS})::int AS start) AS s, generate_series(1, count) AS i
$$
"""

GROWING: dict[str, Any] = {
    "table": "reading",
    "split_by": "device",
    "key": "k",
    "exclude": ["at"],
    "sync": {"mode": "watermark", "column": "at", "lookback": "1m"},
}
# Of twenty rows one is late: its time lies up to half a minute back.
_INSERT = """
CREATE SEQUENCE numbers START 1000000;
CREATE FUNCTION insert_some(writer int, size int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO reading SELECT k, 'd' || k % 7, writer, 'new',
        clock_timestamp() - CASE WHEN k % 20 = 0 THEN random() * interval '30 s' ELSE interval '0' END
        FROM (SELECT nextval('numbers')::int AS k FROM generate_series(1, size)) AS s;
    RETURN size;
END $$
"""


@dataclass
class Written:
    """What the writers did until now: row changes committed, and for how long."""

    rows: int = 0
    seconds: float = 0.0
    errors: list[BaseException] = field(default_factory=list)

    @property
    def rate(self) -> int:
        """Row changes a second."""
        return round(self.rows / self.seconds) if self.seconds else 0


def make_changeable(postgres: Database) -> None:
    """The table of readings, of `ROWS` rows, and what the writers need."""
    postgres.run("CREATE TABLE reading (k int, device text, n bigint, note text, PRIMARY KEY (device, k))")
    postgres.run("CREATE INDEX ON reading (k)")
    postgres.run(f"INSERT INTO reading SELECT i, 'd' || i % 7, i, 'note ' || i FROM generate_series(0, {ROWS}) AS i")
    postgres.run("ANALYZE reading")
    postgres.run(_OWN_KEYS)
    postgres.run(_CHANGE)


def make_growing(postgres: Database) -> None:
    """The same rows in a table that is only added to, and what the writers need."""
    postgres.run(
        "CREATE TABLE reading (k int, device text, n bigint, note text, at timestamptz NOT NULL,"
        " PRIMARY KEY (device, k))"
    )
    postgres.run("CREATE INDEX ON reading (at)")
    postgres.run(
        "INSERT INTO reading SELECT i, 'd' || i % 7, i, 'note ' || i, now() - interval '1 h'"
        f" FROM generate_series(0, {ROWS}) AS i"
    )
    postgres.run("ANALYZE reading")
    postgres.run(_INSERT)


@contextmanager
def writing(postgres: Database, statement: str = "SELECT change(%s, %s)") -> Iterator[Written]:
    """The writers at work while the block runs: `statement` takes a writer's number and how many rows to change."""
    ended = threading.Event()
    lock = threading.Lock()
    written = Written()
    size = round(ROWS_A_SECOND * _STEP_S / WRITERS * 1.2)

    def work(writer: int) -> None:
        try:
            with postgres.connect() as connection:
                due = time.monotonic()
                while not ended.wait(max(0.0, due - time.monotonic())):
                    due += _STEP_S
                    (row,) = connection.execute(statement, (writer, size)).fetchall()
                    with lock:
                        written.rows += row[0]
        except BaseException as error:
            written.errors.append(error)

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
        written.seconds = time.monotonic() - began
    assert not written.errors
