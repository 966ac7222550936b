"""A client that is killed inside a transaction: `python -m tests.conformance.killed_client URL CONTAINER`.

It puts a row with key 1 and says so; then it waits to be killed.
"""

from __future__ import annotations

import os
import sys
import time

import pyarrow as pa

from gridferry.griddb import connect


def main(url: str, name: str) -> None:
    with connect(url, password=os.environ["GRIDFERRY_TEST_PASSWORD"]) as store:
        container = store.open_container(name)
        assert container is not None
        schema = container.schema.arrow_schema
        first = pa.RecordBatch.from_pylist([{schema.names[0]: 1}], schema=schema)
        with container.transaction() as tx:
            tx.put(first)
            print("inside", flush=True)
            time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
