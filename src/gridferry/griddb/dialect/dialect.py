"""The dialect: how SQLAlchemy connects to GridDB, and what it may expect of it."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import exc
from sqlalchemy.engine import default, reflection
from sqlalchemy.engine.url import URL

from gridferry.griddb.dialect import reflection as catalog
from gridferry.griddb.dialect.compiler import GridDBCompiler, GridDBDDLCompiler, GridDBIdentifiers
from gridferry.griddb.dialect.types import COLSPECS, GridDBTypeCompiler

_TIMEOUT = "timeout_s"


class GridDBDialect(default.DefaultDialect):
    """`griddb+gridferry://USER:PASSWORD@HOST:10001/CLUSTER/DATABASE?sslmode=disable`.

    Options of the query are those of every address of gridferry; `host=a:10001,b:10001` names several nodes, and
    `timeout_s=30` limits each statement. Every statement commits by itself: commit does nothing, and a rollback takes
    nothing back.
    """

    name = "griddb"
    driver = "gridferry"
    default_paramstyle = "qmark"
    statement_compiler = GridDBCompiler
    ddl_compiler = GridDBDDLCompiler
    type_compiler_cls = GridDBTypeCompiler
    preparer = GridDBIdentifiers
    colspecs = COLSPECS
    supports_statement_cache = True
    supports_native_boolean = True
    supports_multivalues_insert = True
    supports_default_values = False
    supports_default_metavalue = False
    supports_empty_insert = False
    supports_sane_multi_rowcount = False
    supports_sequences = False
    supports_alter = False
    supports_comments = False
    supports_schemas = False
    supports_views = True
    postfetch_lastrowid = False
    insert_returning = update_returning = delete_returning = False
    use_insertmanyvalues = False
    div_is_floordiv = True
    requires_name_normalize = False
    max_identifier_length = 256

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """gridferry's own driver."""
        from gridferry.griddb import sql

        return sql

    def create_connect_args(self, url: URL) -> tuple[Sequence[str], dict[str, Any]]:
        """The address, the password and the limit of each statement. Raises: ArgumentError."""
        options = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
        given: dict[str, Any] = {"password": url.password} if url.password is not None else {}
        if _TIMEOUT in options:
            try:
                given[_TIMEOUT] = float(options.pop(_TIMEOUT))
            except ValueError:
                raise exc.ArgumentError(f"{_TIMEOUT} is a number of seconds") from None
        host = f"[{url.host}]" if url.host and ":" in url.host else url.host or ""
        place = options.pop("host", f"{host}:{url.port}" if host and url.port else host)
        user = f"{quote(url.username, safe='')}@" if url.username else ""
        query = f"?{urlencode(options)}" if options else ""
        return [f"griddb://{user}{place}/{url.database or ''}{query}"], given

    def initialize(self, connection: Any) -> None:
        """There is no version to be asked for, and one schema only."""

    def get_isolation_level(self, dbapi_connection: Any) -> str:  # type: ignore[override]
        """Each statement commits by itself."""
        return "AUTOCOMMIT"

    def get_isolation_level_values(self, dbapi_conn: Any) -> list[str]:  # type: ignore[override]
        """There is no other."""
        return ["AUTOCOMMIT"]

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        """Raises: ArgumentError for any other."""
        if level != "AUTOCOMMIT":
            raise exc.ArgumentError("GridDB's SQL has no transactions: AUTOCOMMIT is the only isolation level")

    def do_rollback(self, dbapi_connection: Any) -> None:
        """What a statement wrote is written; SQLAlchemy also asks for this when a connection goes back to its pool."""

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Whether the node still answers."""
        return bool(dbapi_connection.is_alive())

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the connection is of no use any more."""
        dbapi = self.dbapi
        if dbapi is None or not isinstance(e, dbapi.Error):
            return False
        return connection is not None and not connection.is_alive()

    @reflection.cache
    def get_table_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        return [] if schema else catalog.names(connection, "tables")

    @reflection.cache
    def get_view_names(self, connection: Any, schema: str | None = None, **kw: Any) -> list[str]:
        return [] if schema else catalog.names(connection, "views")

    def get_schema_names(self, connection: Any, **kw: Any) -> list[str]:
        """None: a database is chosen by the address."""
        return []

    def has_table(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> bool:
        return schema is None and catalog.real_name(connection, table_name) is not None

    @reflection.cache
    def get_columns(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        return catalog.columns(connection, _plain(table_name, schema))

    @reflection.cache
    def get_pk_constraint(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        return catalog.primary_key(connection, _plain(table_name, schema))

    @reflection.cache
    def get_indexes(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        return catalog.indexes(connection, _plain(table_name, schema))

    def get_foreign_keys(self, connection: Any, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        """GridDB has none."""
        catalog.required(connection, _plain(table_name, schema))
        return []

    get_unique_constraints = get_check_constraints = get_foreign_keys

    @reflection.cache
    def get_view_definition(self, connection: Any, view_name: str, schema: str | None = None, **kw: Any) -> str:
        return catalog.view_definition(connection, _plain(view_name, schema))


def _plain(name: str, schema: str | None) -> str:
    """The name of a table. Raises: NoSuchTableError where it has a schema, which GridDB does not have."""
    if schema:
        raise exc.NoSuchTableError(f"{schema}.{name}")
    return name
