"""What a run tells Airflow of the data: asset events with rows and watermark, and lineage by column."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.models.asset import AssetEvent, AssetModel
from airflow.utils.session import create_session
from sqlalchemy import select
from tests.airflow.running import gridferry_dags_of, run
from tests.conftest import Database
from tests.e2e.ferry import Ferry
from tests.e2e.sensors import DEVICES, TABLE, make_sensors

from gridferry.airflow import assets
from gridferry.airflow.assets import container_asset, table_asset
from gridferry.airflow.lineage import TableLineage, operator_lineage
from gridferry.engine.migration import Migration
from gridferry.griddb.address import GridDBAddress, parse_address

SYNCED = {**TABLE, "sync": {"mode": "watermark"}}


def events() -> dict[str, list[dict[str, Any]]]:
    """The extras of all events, by the asset's URI."""
    with create_session() as session:
        rows = session.execute(
            select(AssetModel.uri, AssetEvent.extra).join(AssetModel, AssetModel.id == AssetEvent.asset_id)
        ).all()
    found: dict[str, list[dict[str, Any]]] = {}
    for uri, extra in rows:
        found.setdefault(uri, []).append(extra)
    return found


def test_tables_and_containers_are_told_with_rows_and_watermark(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    dags = gridferry_dags_of([SYNCED])
    before = len(events().get("gridferry://griddb_default/public.sensor", []))
    run(dags["migration_initial"])
    found = events()
    told = found["gridferry://griddb_default/public.sensor"][before:]
    assert [(extra["rows"], extra["containers"], extra["outcome"]) for extra in told] == [(3000, 5, "loaded")]
    assert told[0]["watermark"]
    mine = {uri: extras for uri, extras in found.items() if f"/{ferry.database}/" in uri}
    assert len(mine) == len(DEVICES)
    assert sum(extras[0]["rows"] for extras in mine.values()) == 3000


def test_of_a_fleet_only_the_table_is_told(ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "MOST_CONTAINERS", len(DEVICES) - 1)
    make_sensors(postgres)
    run(gridferry_dags_of([SYNCED])["migration_initial"])
    found = events()
    assert found["gridferry://griddb_default/public.sensor"][-1]["containers"] == len(DEVICES)
    assert not [uri for uri in found if f"/{ferry.database}/" in uri]


def test_names_of_assets() -> None:
    assert table_asset("device").uri == table_asset("public.device").uri == "gridferry://griddb_default/public.device"
    assert table_asset('s."a/b ß"').uri == "gridferry://griddb_default/s.%22a%2Fb%20%C3%9F%22"
    many = parse_address("griddb://u@a:1,b:2/c/d")
    assert container_asset(many, "x/y").uri == "griddb://a:1/c/d/x%2Fy"
    one = GridDBAddress(cluster="c", members=(("::1", 10001),))
    assert container_asset(one, "x").uri == "griddb://[::1]:10001/c/public/x"


def test_lineage_says_which_column_became_which(ferry: Ferry, postgres: Database) -> None:
    make_sensors(postgres)
    ferry = ferry.of({**TABLE, "rename": {"temp": "temperature"}})
    ferry.load()
    with Migration(ferry.config) as migration:
        run = TableLineage.of(migration, "sensor", ["sensor_b8=3A27", "sensor_=C3=9F"])
    told = operator_lineage([run, run])
    (source,) = told.inputs
    assert source.namespace.startswith("postgres://")
    assert source.name.endswith(".public.sensor")
    assert {field.name for field in source.facets["schema"].fields} >= {"ts", "temp", "note"}
    assert len(told.outputs) == 2
    output = told.outputs[0]
    assert output.namespace == f"griddb://{ferry.server.address}"
    assert output.name == f"{ferry.server.cluster}.{ferry.database}.sensor_b8=3A27"
    (field,) = output.facets["columnLineage"].fields["temperature"].inputFields
    assert (field.namespace, field.name, field.field) == (source.namespace, source.name, "temp")
    many = TableLineage(run.source, run.target, run.plan, tuple(map(str, range(101))))
    assert [name for _, name in many.output_datasets] == [f"{ferry.server.cluster}.{ferry.database}.public.sensor"]


def test_openlineage_asks_the_operators(ferry: Ferry, postgres: Database) -> None:
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    from gridferry.airflow import GridFerryFinishLoadOperator

    make_sensors(postgres, rows=10)
    ferry = ferry.of(TABLE)
    ferry.load()
    task = GridFerryFinishLoadOperator(task_id="finish", config={"tables": [TABLE]})
    with task.migration() as migration:
        task.remember_lineage(migration, "sensor", ["x"])
    found = DefaultExtractor(task).extract_on_complete(None)
    assert found is not None
    assert [dataset.name for dataset in found.outputs] == [f"{ferry.server.cluster}.{ferry.database}.x"]
