"""A client that is killed inside a transaction: `python -m tests.e2e.locking_client URL CONTAINER`.

It locks every row of the container, says so, and waits to be killed.
"""

from __future__ import annotations

import os
import sys
import time

from gridferry.griddb import connect


def main(url: str, name: str) -> None:
    with connect(url, password=os.environ["GRIDDB_PASSWORD"]) as store:
        container = store.open_container(name)
        assert container is not None
        with container.transaction() as tx:
            tx.query("select *", for_update=True).read_all()
            print("inside", flush=True)
            time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
