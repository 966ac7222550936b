"""The hook of connection type griddb: a connected database for tasks of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gridferry.airflow.compat import BaseHook
from gridferry.airflow.connection_lookup import named_connection
from gridferry.airflow.connections import griddb_address
from gridferry.airflow.failures import one_line, told_to_airflow
from gridferry.airflow.provider_info import CONNECTION_TYPE
from gridferry.airflow.settings import GRIDDB_DEFAULT
from gridferry.errors import FerryError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from gridferry.griddb import Container, Store
    from gridferry.griddb.address import GridDBAddress

_TEST_LIMIT_S = 8.0  # somebody looks at a button


class GridDBHook(BaseHook):
    """GridDB by an Airflow connection. A context that closes what it opened.

    Its methods raise AirflowException or AirflowFailException with one clear line.
    """

    conn_name_attr = "griddb_conn_id"
    default_conn_name = GRIDDB_DEFAULT
    conn_type = CONNECTION_TYPE
    hook_name = "GridDB"

    def __init__(self, griddb_conn_id: str = GRIDDB_DEFAULT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.griddb_conn_id = griddb_conn_id
        self._store: Store | None = None

    def __enter__(self) -> GridDBHook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> GridDBAddress:
        """The cluster that the connection names."""
        with told_to_airflow():
            return griddb_address(named_connection(self.griddb_conn_id))

    def get_conn(self) -> Store:
        """The database, connected to once; `close` ends the connection."""
        if self._store is None:
            from gridferry.griddb import connect

            address = self.address
            with told_to_airflow():
                self._store = connect(address)
        return self._store

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def query(self, container: str, tql: str = "select *", *, limit: int | None = None) -> pa.Table:
        """The rows of a TQL query, as an Arrow table. An aggregation has one row and one column, `value`."""
        import pyarrow as pa

        with self._container(container) as opened:
            result = opened.query(tql, limit=limit)
            return result.read_all() if result.has_rows else pa.table({"value": [result.value]})

    def get_df(self, container: str, tql: str = "select *", *, limit: int | None = None) -> pd.DataFrame:
        """`query` as a pandas DataFrame. Needs pandas."""
        return self.query(container, tql, limit=limit).to_pandas()

    def put(self, container: str, rows: pa.Table | pa.RecordBatch | pd.DataFrame) -> int:
        """Put rows into a container, by row key; on its disk when this returns. Returns how many.

        Columns go by name; their types are cast to the container's.
        """
        import pyarrow as pa

        if isinstance(rows, pa.RecordBatch):
            rows = pa.Table.from_batches([rows])
        elif not isinstance(rows, pa.Table):
            rows = pa.Table.from_pandas(rows, preserve_index=False)
        with self._container(container) as opened:
            wanted = opened.schema.arrow_schema
            missing = [name for name in wanted.names if name not in rows.column_names]
            if missing:
                raise _refused(f"the rows for {container} have no column {missing[0]}")
            try:
                table = rows.select(wanted.names).cast(wanted)
            except (pa.ArrowException, ValueError) as error:
                raise _refused(f"the rows for {container} do not fit its columns: {error}") from None
            for batch in table.combine_chunks().to_batches():
                opened.put(batch)
            opened.flush()
        return int(rows.num_rows)

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button says: log in, and say what answered."""
        from gridferry.griddb import Timing, connect

        limits = Timing(connect_s=_TEST_LIMIT_S, answer_s=_TEST_LIMIT_S, failover_s=_TEST_LIMIT_S)
        try:
            address = griddb_address(named_connection(self.griddb_conn_id))
            with connect(address, timing=limits) as store:
                found = store.cluster.topology()
        except FerryError as error:
            return False, one_line(error)
        host, port = found.master
        return True, (
            f"Logged in to cluster {address.cluster}, database {address.database}, as {address.user}: "
            f"{found.partition_count} partitions, master {host}:{port}"
        )

    @contextmanager
    def _container(self, name: str) -> Iterator[Container]:
        store = self.get_conn()
        with told_to_airflow():
            opened = store.open_container(name)
            if opened is None:
                raise _refused(f"there is no container {name} in {store.cluster.address}")
            yield opened


def _refused(message: str) -> FerryError:
    from gridferry.errors import ConfigError

    return ConfigError(message)
