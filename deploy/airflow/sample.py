#!/usr/bin/env python3
"""Make the table public.device with 405,184 sensor readings in the source, if there is no table of that name yet.

A table that is there is left as it is, whatever it holds. Making and filling are one transaction: killed in between,
there is no table, and the next start makes it. Two at once wait for each other.

Environment: SOURCE_HOST, SOURCE_PORT, SOURCE_USER, SOURCE_PASSWORD, SOURCE_DATABASE; SAMPLE_SHARE makes fewer rows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import psycopg

from gridferry.demo.sample import copy_csv_into, write_readings_csv
from gridferry.errors import FerryError

TABLE = "public.device"
_LOCK = 0x67726964  # any number that only this program takes


def main() -> int:
    """Returns the exit code."""
    try:
        with psycopg.connect(
            host=os.environ["SOURCE_HOST"],
            port=os.environ.get("SOURCE_PORT", "5432"),
            user=os.environ["SOURCE_USER"],
            password=os.environ["SOURCE_PASSWORD"],
            dbname=os.environ["SOURCE_DATABASE"],
            autocommit=True,
        ) as connection:
            print(load_sample(connection, share=float(os.environ.get("SAMPLE_SHARE", "1"))))
        return 0
    except KeyError as missing:
        print(f"error: {missing.args[0]} is not set: see deploy/.env.example", file=sys.stderr)
        return 2
    except (psycopg.Error, FerryError) as error:
        print(f"error: the sample was not loaded: {error}", file=sys.stderr)
        return 1


def load_sample(connection: psycopg.Connection, *, share: float) -> str:
    """Returns what was done, in a line."""
    connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    found = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()
    if found is not None and found[0] is not None:
        return f"{TABLE} is there: it is left as it is"
    with tempfile.TemporaryDirectory() as folder:
        readings = Path(folder) / "readings.csv"
        write_readings_csv(readings, share=share)
        rows = copy_csv_into(connection, readings, TABLE)
    connection.execute("ANALYZE public.device")
    return f"{TABLE} was made with {rows:,} rows"


if __name__ == "__main__":
    raise SystemExit(main())
