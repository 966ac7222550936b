"""What all operators and sensors of gridferry have in common: the templated config, and a migration opened from it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from gridferry.airflow.compat import BaseOperator, Context
from gridferry.airflow.connection_lookup import named_connection
from gridferry.airflow.failures import AskedToEnd, one_line, told_to_airflow
from gridferry.airflow.links import AssetsLink
from gridferry.airflow.settings import ConfigLike, Settings, found_beside, require_no_password
from gridferry.errors import FerryError
from gridferry.model.failed_tables import Deed

if TYPE_CHECKING:
    from gridferry.engine.events import Event
    from gridferry.engine.migration import Migration

T = TypeVar("T")
R = TypeVar("R")
TEMPLATED: tuple[str, ...] = ("config", "tables", "postgres_conn_id", "griddb_conn_id")


class FerryTask(BaseOperator):
    """The base of operators; of sensors together with Airflow's BaseSensorOperator.

    Args: config: the path of a config file, absolute or beside the DAG file, or the same document as a dict; tables:
        which of its tables, all without; postgres_conn_id, griddb_conn_id: connections that stand for the config's
        `source` and `target`. A config may name them itself (`source: {airflow_conn_id: ...}`); without either they
        are postgres_default and griddb_default.
    """

    template_fields: Sequence[str] = TEMPLATED
    operator_extra_links = (AssetsLink(),)
    ui_color = "#e3f0fb"
    _at_work = False

    def __init__(
        self,
        *,
        config: ConfigLike,
        tables: Sequence[str] | None = None,
        postgres_conn_id: str | None = None,
        griddb_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        with told_to_airflow():
            require_no_password(config)
        self.config = os.fspath(config) if isinstance(config, os.PathLike) else config
        self.tables = tables
        self.postgres_conn_id = postgres_conn_id
        self.griddb_conn_id = griddb_conn_id

    @property
    def settings(self) -> Settings:
        """Config and connections, once templates are filled in."""
        config = found_beside(self.config, self.dag.fileloc if self.has_dag() else None)
        return Settings(config, self.postgres_conn_id or None, self.griddb_conn_id or None)

    @property
    def named(self) -> list[str]:
        """The tables asked for; none without a wish, and where a template came out empty."""
        names = [self.tables] if isinstance(self.tables, str) else self.tables or ()
        return [str(name) for name in names if name]

    @property
    def wanted(self) -> list[str]:
        """The tables asked for, as the config names them; all of them without a wish.

        Where the config has patterns there is no name without a wish, which means all: see `meant`.
        """
        return self.named or ([] if self.settings.patterns() else [o.table for o in self.settings.tables()])

    def meant(self, migration: Migration) -> list[str]:
        """The tables asked for, with what the config's patterns mean in the source now; removed ones if named only.

        Raises: FerryError.
        """
        ends = migration.endpoints
        if self.named:
            return [options.table for options in ends.chosen(self.named)] if ends.config.patterns else self.wanted
        wanted = set(self.wanted)
        return [options.table for options in ends.to_load() if ends.config.patterns or options.table in wanted]

    @contextmanager
    def migration(self) -> Iterator[Migration]:
        """The migration. Source and target are connected to when first needed.

        Raises: FerryError, which `tells_airflow` makes Airflow's where a method that Airflow calls ends.
        """
        from gridferry.airflow.progress import LoggedProgress
        from gridferry.engine.migration import Migration

        config = self.settings.resolve(named_connection)
        with Migration(config, listener=LoggedProgress(self.log)) as migration:
            self._at_work = True
            try:
                yield migration
            finally:
                self._at_work = False

    def each(
        self, doing: Deed, act: Callable[[T], R], tables: Sequence[T], *, name: Callable[[T], str] = str
    ) -> list[R]:
        """Do `act` to each table; one that fails is logged, and does not stop the others.

        Raises: as `each_table.Tried.require`, after all others: the task is tried again where any failure may pass.
        """
        from gridferry.engine.each_table import try_each

        def tell(event: Event) -> None:
            error = getattr(event, "error", None)
            # The failure of the only table ends the task, and is reported by that.
            if isinstance(error, FerryError) and len(tables) > 1:
                self.log.error("%s: %s", getattr(event, "table", ""), one_line(error))

        tried = try_each(tables, act, name=name, doing=doing, tell=tell)
        tried.require(doing)
        return list(tried.done)

    def on_kill(self) -> None:
        """End: Airflow asks for it by a signal where the task was marked or cleared, or its worker is shut down.

        Airflow by itself would let the task go on, and kill it seconds later with its leases held. This ends it as a
        time limit does: what is stored stays, leases are given back. Does nothing where nothing is at work.
        """
        if self._at_work:
            self._at_work = False  # asked again while it ends, it ends only once
            raise AskedToEnd

    def tell(self, context: Context, migration: Migration, table: str, facts: dict[str, Any], watermark: str) -> None:
        """Put what was done into the asset events of this task, and keep it for its lineage."""
        from gridferry.airflow.assets import tell_assets

        containers = migration.status.containers([table])
        tell_assets(
            context["outlet_events"],
            getattr(self, "outlets", ()),
            table=facts["table"],
            facts=facts,
            containers=containers,
            address=replace(migration.endpoints.config.target, password=""),
            watermark=watermark,
        )
        self.remember_lineage(migration, table, [container.name for container in containers])

    def remember_lineage(self, migration: Migration, table: str, containers: Sequence[str]) -> None:
        """Keep where the rows came from and went to, for `get_openlineage_facets_on_complete`."""
        from gridferry.airflow.lineage import TableLineage

        self.__dict__.setdefault("_lineage", []).append(TableLineage.of(migration, table, containers))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Inputs, outputs and columns for OpenLineage, where its provider is installed; it asks for this method."""
        from gridferry.airflow.lineage import operator_lineage

        return operator_lineage(self.__dict__.get("_lineage", []))
