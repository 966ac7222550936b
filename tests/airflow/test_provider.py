"""What Airflow is told about the provider, judged by Airflow's own schemas and readers, and what reading it costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
from airflow.providers_manager import ProvidersManager
from packaging import version

try:
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
except ImportError:  # Airflow 3.1
    ProvidersManagerTaskRuntime = ProvidersManager

import airflow
import gridferry.airflow as package
from gridferry.airflow.provider_info import provider_info

_AIRFLOW = Path(airflow.__file__).parent
_HEAVY = {
    "adbc_driver_manager",
    "adbc_driver_postgresql",
    "duckdb",
    "fastapi",
    "jinja2",
    "numpy",
    "pandas",
    "psycopg",
    "psycopg2",
    "psycopg_binary",
    "pyarrow",
    "pygal",
    "sqlglot",
}
_EXAMPLE = Path(__file__).parents[2] / "examples" / "airflow" / "gridferry_migration.py"
# In a process of its own, as Airflow's DAG processor reads a file in one, and with Airflow's own clock (what `airflow
# dags report` shows). What any DAG with an asset costs comes first, and again once Airflow is loaded.
_PARSE = """
import sys
from pathlib import Path
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag

def read(path):
    bag = DagBag(dag_folder=path, bundle_path=Path(path).parent)
    assert not bag.import_errors, bag.import_errors
    return bag.dagbag_stats[0].duration.total_seconds()

first, again = read(sys.argv[1]), read(sys.argv[1])
before = set(sys.modules)
print(first, again, read(sys.argv[2]), *sorted(set(sys.modules) - before))
"""
_PLAIN = """
from datetime import datetime
from airflow.sdk import DAG, Asset, AssetAlias, BaseHook, BaseOperator, BaseOperatorLink, BaseSensorOperator, Connection
import airflow.sdk.exceptions, airflow.triggers.base
try:
    import airflow.sdk.plugins_manager
except ImportError:
    import airflow.plugins_manager
with DAG("plain", schedule="0 * * * *", start_date=datetime(2024, 1, 1)):
    BaseOperator(task_id="one", outlets=[Asset("any://place/thing"), AssetAlias("some")])
"""


def test_the_info_meets_airflows_schema() -> None:
    schema = json.loads((_AIRFLOW / "provider_info.schema.json").read_text())
    jsonschema.validate(provider_info(), schema)


def test_the_form_meets_the_schema_of_forms() -> None:
    schema = json.loads((_AIRFLOW / "provider.yaml.schema.json").read_text())
    jsonschema.validate(provider_info()["connection-types"], schema["properties"]["connection-types"])


def _named_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name for each in value.values() for name in _named_in(each)]
    if isinstance(value, list):
        return [name for each in value for name in _named_in(each)]
    return [value] if isinstance(value, str) and value.startswith("gridferry.") else []


def test_everything_that_the_info_names_exists() -> None:
    names = _named_in(provider_info())
    assert len(names) >= 7
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name


def test_the_public_names_exist_and_are_sorted() -> None:
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) == set(package._MODULES)
    assert all(getattr(package, name).__doc__ for name in package.__all__)
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018


def test_airflow_finds_provider_connection_type_and_plugin() -> None:
    manager = ProvidersManager()
    assert "gridferry" in manager.providers
    runtime = ProvidersManagerTaskRuntime()
    hook = runtime.hooks["griddb"]
    assert hook is not None
    assert hook.hook_class_name == "gridferry.airflow.sql_hook.GridDBSqlHook"
    assert "gridferry.airflow.links.AssetsLink" in manager.extra_links_class_names
    assert "griddb" in runtime.asset_uri_handlers
    (plugin,) = entry_points(group="airflow.plugins", name="gridferry")
    assert plugin.load().name == "gridferry"


def test_the_form_has_the_fields_that_the_hook_reads() -> None:
    if version.parse(airflow.__version__) < version.parse("3.2"):
        pytest.skip("before Airflow 3.2 a provider cannot describe fields of its own: they stand in Extra")
    with warnings.catch_warnings():
        # Airflow 3.2 itself asks in a way that it calls deprecated.
        warnings.filterwarnings("ignore", "ProvidersManager.hooks is deprecated")
        forms = HookMetaService.hook_meta_data()
    (form,) = [meta for meta in forms if meta.connection_type == "griddb"]
    assert form.hook_name == "GridDB"
    assert form.standard_fields is not None
    assert form.standard_fields.url_schema is not None
    assert form.standard_fields.url_schema.title == "Cluster"
    assert form.extra_fields is not None
    assert set(form.extra_fields) == {
        "database",
        "members",
        "provider",
        "multicast",
        "sslmode",
        "ca_file",
        "authentication",
        "route",
        "sql",
    }


def test_reading_the_dags_costs_little_and_loads_nothing_heavy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain = tmp_path / "plain.py"
    plain.write_text(_PLAIN)
    command = [sys.executable, "-W", "ignore", "-c", _PARSE, str(plain), str(_EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, again, ours, *modules = done.stdout.splitlines()[-1].split()
    assert "gridferry.airflow.dags" in modules
    # What takes time is what is loaded. These would take seconds, on every read of the file.
    assert {name.partition(".")[0] for name in modules} & _HEAVY == set()
    with capsys.disabled():
        print(
            f"\nreading the example DAG file: {float(ours):.3f} s; a DAG with one asset: {float(first):.3f} s, and "
            f"{float(again):.3f} s once Airflow is loaded: {float(ours) / float(first):.2f} of the first"
        )
