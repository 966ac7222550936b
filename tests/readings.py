"""The two tables of readings that tests move: `reading`, by time without a key, or numbered with one."""

from __future__ import annotations

from tests.conftest import Database

DAY = "timestamp '2024-05-01'"


def make_timed_readings(postgres: Database, *, indexed: bool = True) -> None:
    """Readings of two devices, one a second, for ten seconds."""
    postgres.run("CREATE TABLE reading (ts timestamp NOT NULL, device text NOT NULL, n bigint)")
    if indexed:
        postgres.run("CREATE INDEX ON reading (ts)")
    postgres.run(
        f"INSERT INTO reading SELECT {DAY} + i * interval '1 second', 'd' || i % 2, i FROM generate_series(0, 9) AS i"
    )


def make_numbered_readings(postgres: Database) -> None:
    """Thirty readings of three devices, numbered; the key is the device with the number, so rows can be changed."""
    postgres.run("CREATE TABLE reading (k int, device text, n bigint, note text, PRIMARY KEY (device, k))")
    postgres.run("INSERT INTO reading SELECT i, 'd' || i % 3, i, 'note ' || i FROM generate_series(0, 29) AS i")
