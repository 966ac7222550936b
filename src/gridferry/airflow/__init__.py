"""Apache Airflow's side of gridferry: connection type, hook, operators, sensors and ready DAGs. Thin over the engine.

from gridferry.airflow import gridferry_dags

globals().update(gridferry_dags("gridferry.yaml"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridferry.airflow.assets import table_asset
    from gridferry.airflow.dags import gridferry_dags
    from gridferry.airflow.hook import GridDBHook
    from gridferry.airflow.load_operators import (
        GridFerryFinishLoadOperator,
        GridFerryLoadBucketOperator,
        GridFerryLoadOperator,
        GridFerryPrepareLoadOperator,
    )
    from gridferry.airflow.operators import GridFerryFollowOperator, GridFerrySyncOperator, GridFerryVerifyOperator
    from gridferry.airflow.sensors import GridFerryLagSensor, GridFerryLoadedSensor
    from gridferry.airflow.sql_hook import GridDBSqlHook

__all__ = [
    "GridDBHook",
    "GridDBSqlHook",
    "GridFerryFinishLoadOperator",
    "GridFerryFollowOperator",
    "GridFerryLagSensor",
    "GridFerryLoadBucketOperator",
    "GridFerryLoadOperator",
    "GridFerryLoadedSensor",
    "GridFerryPrepareLoadOperator",
    "GridFerrySyncOperator",
    "GridFerryVerifyOperator",
    "gridferry_dags",
    "table_asset",
]

_MODULES = {
    "GridDBHook": "hook",
    "GridDBSqlHook": "sql_hook",
    "GridFerryFinishLoadOperator": "load_operators",
    "GridFerryFollowOperator": "operators",
    "GridFerryLagSensor": "sensors",
    "GridFerryLoadBucketOperator": "load_operators",
    "GridFerryLoadOperator": "load_operators",
    "GridFerryLoadedSensor": "sensors",
    "GridFerryPrepareLoadOperator": "load_operators",
    "GridFerrySyncOperator": "operators",
    "GridFerryVerifyOperator": "operators",
    "gridferry_dags": "dags",
    "table_asset": "assets",
}


def __getattr__(name: str) -> Any:
    """A public name, loaded on first use: Airflow imports this package in processes that need one of them."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
