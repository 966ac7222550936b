"""The GridDB driver alone: make a container, put rows, ask for them, change them, and drop it.

    python examples/driver.py
    GRIDDB_PASSWORD=... python examples/driver.py --target griddb://admin@HOST:10001/CLUSTER/public?sslmode=disable

`gridferry.griddb` needs nothing of gridferry but its errors: no PostgreSQL is needed, and no config file.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timezone

import pyarrow as pa

from ends import container_for_now, griddb, run
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, connect

NAME = "ferry_example_driver"

# A TIME_SERIES has one row for each time; its row key is the first column, in milliseconds.
READINGS = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("temperature", GridType.DOUBLE),
        ColumnSpec("place", GridType.STRING),
    ),
)


def minute(number: int) -> datetime:
    """A minute of the first hour of 2026."""
    return datetime(2026, 1, 1, 0, number, tzinfo=timezone.utc)


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", help="a GridDB of yours; without it an emulator is started")
    options = parser.parse_args()

    with (
        griddb(options.target) as address,
        connect(address) as store,
        container_for_now(store, NAME, READINGS) as readings,
    ):
        # Rows go in as Arrow: a batch whose columns are those of the container. A put is an upsert by row key.
        rows = {
            "ts": [minute(n) for n in range(5)],
            "temperature": [20.5, 21.0, None, 31.5, 22.0],
            "place": ["roof", "roof", "cellar", "roof", "cellar"],
        }
        readings.put(pa.RecordBatch.from_pydict(rows, schema=readings.schema.arrow_schema))
        print(f"{readings.count()} rows in {readings.name}")

        # TQL selects rows, as Arrow again ...
        hot = readings.query("select * where temperature > 30").read_all()
        for row in hot.to_pylist():
            print(f"hot: {row['ts']:%H:%M} {row['temperature']} {row['place']}")

        # ... or one value. NULL does not count in an average.
        print(f"average: {readings.query('select avg(temperature)').value}")

        # Rows are deleted, and got, by their keys.
        keys = pa.RecordBatch.from_pydict({"ts": [minute(2)]}, schema=readings.schema.key_schema.arrow_schema)
        print(f"deleted: {readings.delete(keys)}, left: {readings.count()}")

        # Leaving the block commits; an exception inside it rolls everything back.
        with readings.transaction() as tx:
            changed = {"ts": [minute(0)], "temperature": [19.0], "place": ["roof"]}
            tx.put(pa.RecordBatch.from_pydict(changed, schema=readings.schema.arrow_schema))
        first = readings.query("select * limit 1").read_all()
        print(f"first now: {first['temperature'][0].as_py()}")


if __name__ == "__main__":
    run(main)
