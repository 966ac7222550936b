"""The hook that Airflow's SQL operators use on a connection of type griddb: GridDB's SQL, without Java."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.sql.hooks.sql import DbApiHook

from gridferry.airflow.connection_lookup import named_connection
from gridferry.airflow.connections import griddb_address
from gridferry.airflow.failures import told_to_airflow
from gridferry.airflow.hook import GridDBHook
from gridferry.airflow.provider_info import CONNECTION_TYPE
from gridferry.airflow.settings import GRIDDB_DEFAULT

if TYPE_CHECKING:
    import pandas as pd

    from gridferry.griddb.sql import Connection


class GridDBSqlHook(DbApiHook):
    """GridDB's SQL by an Airflow connection, as `SQLExecuteQueryOperator` and the checks of common.sql want it.

    `timeout_s` is the limit of each statement, in seconds. Parameters are `?` with a sequence, or `:name` with a
    mapping.
    Its methods raise AirflowException for what may pass, AirflowFailException for the rest.
    """

    conn_name_attr = "griddb_conn_id"
    default_conn_name = GRIDDB_DEFAULT
    conn_type = CONNECTION_TYPE
    hook_name = "GridDB"
    supports_autocommit = True
    supports_executemany = True
    strip_semicolon = True
    _placeholder = "?"

    def __init__(self, *args: Any, schema: str | None = None, timeout_s: float | None = None, **kwargs: Any) -> None:
        super().__init__(*args, schema=schema, **kwargs)
        self.schema = schema  # a database other than the connection's: `database` of the SQL operators
        self.timeout_s = timeout_s

    def get_conn(self) -> Connection:
        """A connection of PEP 249, to be closed by whoever asked for it."""
        from gridferry.griddb import sql

        with told_to_airflow():
            address = griddb_address(named_connection(self.get_conn_id()))
            if self.schema:
                address = replace(address, database=self.schema)
            return sql.connect(address, timeout_s=self.timeout_s)

    def set_autocommit(self, conn: Connection, autocommit: bool) -> None:
        """Nothing is to be said: GridDB commits every statement by itself."""

    def get_autocommit(self, conn: Connection) -> bool:
        """True: GridDB commits every statement by itself."""
        return True

    @property
    def replace_statement_format(self) -> str:
        """How GridDB writes a row over the one with the same key."""
        return "INSERT OR REPLACE INTO {} {} VALUES ({})"

    def test_connection(self) -> tuple[bool, str]:
        """What the Test button says: log in to the cluster, and say what answered."""
        return GridDBHook(self.get_conn_id()).test_connection()

    def insert_rows(self, *args: Any, **kwargs: Any) -> None:
        """Rows into a table, 1,000 in a statement. Values are sent as the types of their columns."""
        with told_to_airflow():
            super().insert_rows(*args, **kwargs)

    def _run_command(self, cur: Any, sql_statement: str, parameters: Any) -> None:
        with told_to_airflow():
            super()._run_command(cur, sql_statement, parameters)

    @staticmethod
    def _serialize_cell(cell: Any, conn: Any = None) -> Any:
        return cell  # the driver knows Python's types, and would not take their texts for them

    def _get_pandas_df(
        self,
        sql: str | list[str],
        parameters: list[Any] | tuple[Any, ...] | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        if kwargs or not isinstance(sql, str):  # of pandas' own reader, which goes by rows
            return super()._get_pandas_df(sql, parameters, **kwargs)
        with self.get_conn() as connection, told_to_airflow():
            return connection.execute(sql, parameters).fetch_arrow_table().to_pandas()
