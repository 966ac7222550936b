"""A table of PostgreSQL into GridDB: plan, load, sync, verify, all from Python.

    python examples/migrate.py
    GRIDDB_PASSWORD=... python examples/migrate.py --source postgresql://me@HOST/db \\
        --target griddb://admin@HOST:10001/CLUSTER/public?sslmode=disable

The table is the example's own and dropped at the end; its containers in a GridDB of yours stay, to be looked at. The
next run replaces them.
"""

from __future__ import annotations

import argparse

import psycopg

from ends import griddb, postgres, run
from gridferry.engine.migration import Migration
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config
from gridferry.plan.table_options import table_options

TABLE = "ferry_example_migrate"

# What a config file says of a table, from Python; `load_config(path)` reads a whole file instead.
OPTIONS = table_options(
    table=f"public.{TABLE}",
    split_by="sensor",  # one container for each sensor
    container=f"{TABLE}_{{value}}",
    key="ts",
    sync={"mode": "watermark"},  # new rows are found by ts
)


def insert(source: psycopg.Connection[tuple[object, ...]], first: int, last: int) -> None:
    """Readings of three sensors, one a second each."""
    source.execute(
        f"INSERT INTO {TABLE} SELECT '2026-01-01Z'::timestamptz + n * interval '1 second', 's' || s, n + s / 10.0"
        " FROM generate_series(%s::int, %s::int) AS n, generate_series(1, 3) AS s",
        (first, last),
    )


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", help="a PostgreSQL of yours; without it one is started")
    parser.add_argument("--target", help="a GridDB of yours; without it an emulator is started")
    options = parser.parse_args()

    with (
        griddb(options.target) as target,
        postgres(options.source) as dsn,
        psycopg.connect(dsn, autocommit=True) as source,
    ):
        source.execute(f"CREATE TABLE {TABLE} (ts timestamptz NOT NULL, sensor text NOT NULL, value float8)")
        try:
            insert(source, 1, 1000)
            config = Config(source=SourceAddress(dsn), target=target, tables=(OPTIONS,))
            with Migration(config) as migration:
                # Changes nothing: what becomes what, and every risk that the data shows.
                for table in migration.plan().tables:
                    print(f"plan: {table.qualified} becomes {len(table.containers)} containers")

                # One snapshot of the source. Killed anywhere, the same call goes on.
                for loaded in migration.loads.load(replace=True):
                    print(f"load: {loaded.outcome}, {loaded.rows:,} rows")

                insert(source, 1001, 1010)
                for synced in migration.syncs.sync():
                    print(f"sync: {synced.outcome}, {synced.fresh} new rows in {synced.touched} containers")

                # Every value of both sides. What differs is in the report, as data.
                report = migration.verifications.verify()
                for checked in report.tables:
                    print(f"verify: {checked.table} is {checked.verdict.value}, {checked.source_rows:,} rows")
        finally:
            source.execute(f"DROP TABLE {TABLE}")


if __name__ == "__main__":
    run(main)
