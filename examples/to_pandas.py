"""Rows of GridDB as Arrow, and from there as a pandas DataFrame.

    python examples/to_pandas.py
    GRIDDB_PASSWORD=... python examples/to_pandas.py --target griddb://admin@HOST:10001/CLUSTER/public?sslmode=disable

gridferry itself does not need pandas. Where it is not installed, Arrow groups the rows alone.
"""

from __future__ import annotations

import argparse
import importlib.util

import numpy as np
import pyarrow as pa

from ends import container_for_now, griddb, run
from gridferry.griddb import ColumnSpec, Container, ContainerKind, ContainerSchema, GridType, connect

NAME = "ferry_example_pandas"
READINGS = ContainerSchema(
    ContainerKind.TIME_SERIES,
    (
        ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False),
        ColumnSpec("place", GridType.STRING),
        ColumnSpec("temperature", GridType.DOUBLE),
    ),
)
MINUTES = 24 * 60


def fill(container: Container) -> None:
    """Put a day of readings, one a minute: numpy arrays become Arrow columns without a loop over rows."""
    number = np.arange(MINUTES)
    columns = [
        pa.array(np.datetime64("2026-01-01", "ms") + number * 60_000, pa.timestamp("ms", "UTC")),
        pa.array(np.where(number % 2 == 0, "roof", "cellar")),
        pa.array(np.where(number % 2 == 0, 10.0 + number // 60, 12.0)),  # the roof gets warmer with every hour
    ]
    container.put(pa.RecordBatch.from_arrays(columns, schema=container.schema.arrow_schema))


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", help="a GridDB of yours; without it an emulator is started")
    options = parser.parse_args()

    with (
        griddb(options.target) as address,
        connect(address) as store,
        container_for_now(store, NAME, READINGS) as container,
    ):
        fill(container)

        # Large results need not fit into memory: they come page by page, each an Arrow batch.
        with container.query("select *", page_rows=500) as result:
            print("pages:", [len(batch) for batch in result.batches()])

        # Or all at once. Let GridDB choose the rows: what it leaves out is not sent.
        morning = "select * where ts < TIMESTAMP('2026-01-01T12:00:00.000Z')"
        table = container.query(morning).read_all()
        print(f"Arrow: {table.num_rows} rows, {table.schema.field('ts').type}")

        if importlib.util.find_spec("pandas") is None:
            means = table.group_by("place").aggregate([("temperature", "mean")]).sort_by("place")
            for row in means.to_pylist():
                print(f"mean by Arrow: {row['place']} {row['temperature_mean']:.2f}")
            return
        frame = table.to_pandas().set_index("ts")
        print(f"pandas: {len(frame)} rows from {frame.index.min():%H:%M} to {frame.index.max():%H:%M}")
        for place, mean in frame.groupby("place")["temperature"].mean().items():
            print(f"mean by pandas: {place} {mean:.2f}")


if __name__ == "__main__":
    run(main)
