"""Put and read the sensor rows with GridDB's Python client (griddb-python, over JPype and Java).

Run by official.py in a process of its own, since that client starts a Java machine inside it. Prints "lists put",
"lists read", "arrow put", "arrow read", a line each, followed by rows and seconds. Arguments: class path, host:port,
cluster, user, container, rows, batch; the password is in GRIDFERRY_TEST_GRIDDB_PASSWORD.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import jpype
from bench.official_rows import SENSOR, sensor_batches

ROWS_BY_LIST = 20_000
"""One Python object a value: few rows show the speed, and many would take minutes."""
ARROW_NEEDS = "--add-opens=java.base/java.nio=ALL-UNNAMED"


class PythonClient:
    """One container, put and read through GridDB's Python client in its two ways."""

    def __init__(self, griddb: Any, store: Any, *, name: str, batch_rows: int) -> None:
        self._griddb = griddb
        self._allocator = griddb.RootAllocator(sys.maxsize)
        self._batch_rows = batch_rows
        types = [[c.name, getattr(griddb.Type, c.label.removesuffix("(3)"))] for c in SENSOR.columns]
        info = griddb.ContainerInfo(name, types, griddb.ContainerType.TIME_SERIES, True)
        self._container = store.put_container(info)

    def put_lists(self, rows: int) -> None:
        """Put Python lists."""
        for batch in sensor_batches(rows, self._batch_rows):
            columns = [column.to_pylist() for column in batch.columns]
            self._container.multi_put([list(row) for row in zip(*columns, strict=True)])

    def put_arrow(self, rows: int) -> None:
        """Put Arrow batches."""
        for batch in sensor_batches(rows, self._batch_rows):
            self._container.multi_put(batch, self._allocator)

    def read_lists(self) -> int:
        """Read row by row as lists; how many."""
        result = self._container.query("select *").fetch()
        rows = 0
        while result.has_next():
            result.next()
            rows += 1
        return rows

    def read_arrow(self) -> int:
        """Read as Arrow batches; how many rows."""
        query = self._container.query("select *")
        query.set_fetch_options(root_allocator=self._allocator, batch_size=self._batch_rows)
        result = query.fetch()
        rows = 0
        while result.has_next():
            rows += result.next_record_batch().num_rows
        return rows


def main(arguments: list[str]) -> None:
    """Print the figures; each way runs once unmeasured before, so that the Java compiler is warm."""
    class_path, address, cluster, user, name, rows, batch_rows = arguments
    jpype.startJVM(ARROW_NEEDS, classpath=class_path.split(os.pathsep))
    import griddb_python as griddb  # needs the running Java machine

    store = griddb.StoreFactory.get_instance().get_store(
        notification_member=address,
        cluster_name=cluster,
        username=user,
        password=os.environ["GRIDFERRY_TEST_GRIDDB_PASSWORD"],
    )
    try:
        client = PythonClient(griddb, store, name=name, batch_rows=int(batch_rows))
        few = min(int(rows), ROWS_BY_LIST)
        for way, count in (("lists", few), ("arrow", int(rows))):
            put, read = (
                (client.put_lists, client.read_lists) if way == "lists" else (client.put_arrow, client.read_arrow)
            )
            put(few)
            read()
            start = time.perf_counter()
            put(count)
            stored = time.perf_counter()
            seen = read()
            end = time.perf_counter()
            if seen != count:
                raise SystemExit(f"{seen} rows came back of {count}")
            print(f"{way} put {count} {stored - start}")
            print(f"{way} read {count} {end - stored}")
    finally:
        store.drop_container(name)


if __name__ == "__main__":
    main(sys.argv[1:])
