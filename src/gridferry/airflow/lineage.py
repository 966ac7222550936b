"""Lineage of a run as OpenLineage has it: tables in, containers out, and which column became which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gridferry.airflow.assets import MOST_CONTAINERS

if TYPE_CHECKING:
    from gridferry.engine.migration import Migration
    from gridferry.griddb.address import GridDBAddress
    from gridferry.plan.plan import TablePlan
    from gridferry.source.postgres.session.connection import PostgresAddress


@dataclass(frozen=True)
class TableLineage:
    """One table's way: addresses, the plan, and the containers that exist."""

    source: PostgresAddress
    target: GridDBAddress
    plan: TablePlan
    containers: tuple[str, ...]

    @classmethod
    def of(cls, migration: Migration, table: str, containers: Sequence[str]) -> TableLineage:
        """The lineage of a loaded table."""
        return cls(
            migration.endpoints.source.address,
            migration.endpoints.config.target,
            migration.loads.plan_of(table),
            tuple(containers),
        )

    @property
    def input_dataset(self) -> tuple[str, str]:
        """Namespace and name of the table, as OpenLineage's naming page has them for PostgreSQL."""
        return f"postgres://{self.source.host}:{self.source.port}", f"{self.source.database}.{self.plan.qualified}"

    @property
    def output_datasets(self) -> list[tuple[str, str]]:
        """Namespace and name of each container; of the table as a whole where they are too many."""
        host, port = self.target.members[0] if self.target.members else (self.target.cluster, 10001)
        named = self.containers if len(self.containers) <= MOST_CONTAINERS else (self.plan.qualified,)
        inside = f"{self.target.cluster}.{self.target.database}"
        return [(f"griddb://{host}:{port}", f"{inside}.{name}") for name in named]


def operator_lineage(runs: Sequence[TableLineage]) -> Any:
    """An `OperatorLineage` of what a task did."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    inputs = {run.input_dataset: _input(run) for run in runs}
    outputs = {name: _output(run, name) for run in runs for name in run.output_datasets}
    return OperatorLineage(
        inputs=[Dataset(namespace=n, name=name, facets=facets) for (n, name), facets in inputs.items()],
        outputs=[Dataset(namespace=n, name=name, facets=facets) for (n, name), facets in outputs.items()],
    )


def _input(run: TableLineage) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacet, SchemaDatasetFacetFields

    types = {column.source: column.pg_type for column in run.plan.columns}
    return {"schema": SchemaDatasetFacet([SchemaDatasetFacetFields(name=n, type=t) for n, t in types.items()])}


def _output(run: TableLineage, dataset: tuple[str, str]) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import (
        ColumnLineageDatasetFacet,
        Fields,
        InputField,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )

    namespace, name = run.input_dataset
    specs = run.plan.container_schema.columns
    fields = {
        spec.name: Fields(
            inputFields=[InputField(namespace=namespace, name=name, field=column.source)],
            transformationType="IDENTITY",
            transformationDescription=column.verdict.value,
        )
        for spec, column in zip(specs, run.plan.columns, strict=True)
    }
    return {
        "schema": SchemaDatasetFacet([SchemaDatasetFacetFields(name=s.name, type=s.label) for s in specs]),
        "columnLineage": ColumnLineageDatasetFacet(fields=fields),
    }
