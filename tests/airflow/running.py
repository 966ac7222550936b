"""DAG files put before Airflow, run in this process, and their logs."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag
from airflow.sdk import DAG
from tests.airflow.conftest import HOME

from gridferry.airflow.dags import CONTINUOUS, INITIAL, PARITY

_numbers = itertools.count(1)
SMALL = {"rows_per_bucket": 500, "rows_per_chunk": 300, "wait_s": 0.0, "default_args": {"retries": 0}}


def write_dags(text: str) -> Path:
    """A DAG file in Airflow's folder."""
    path = HOME / "dags" / f"dags_{next(_numbers)}.py"
    path.write_text(text, encoding="utf-8")
    return path


def bag_of(path: Path) -> DagBag:
    """What Airflow finds in one file."""
    known = inspect.signature(DagBag).parameters
    wanted = {"bundle_path": path.parent, "bundle_name": "dags-folder"}  # Airflow 3.1 has the first one only
    return DagBag(dag_folder=str(path), **{name: value for name, value in wanted.items() if name in known})


def gridferry_dags_of(tables: Sequence[Mapping[str, Any]], **options: Any) -> dict[str, DAG]:
    """The ready DAGs of an inline config, by what they are for, in the order in which they are of use."""
    prefix = f"t{next(_numbers)}"
    arguments = json.dumps({**SMALL, **options})
    config = json.dumps({"tables": list(tables)})
    path = write_dags(
        "# airflow dag\nimport json\nfrom gridferry.airflow import gridferry_dags\n"
        f"globals().update(gridferry_dags(json.loads({config!r}), prefix={prefix!r}, **json.loads({arguments!r})))\n"
    )
    bag = bag_of(path)
    assert not bag.import_errors
    assert not bag.captured_warnings
    found = {name: bag.dags.get(f"{prefix}_{name}") for name in (INITIAL, CONTINUOUS, PARITY)}
    return {name: dag for name, dag in found.items() if dag is not None}


def run(dag: DAG) -> dict[str, list[str]]:
    """Run a DAG in this process. Returns the states of its tasks, those of a mapped one in order."""
    states: dict[str, list[str]] = {}
    instances = dag.test().get_task_instances()
    for each in sorted(instances, key=lambda ti: (ti.task_id, ti.map_index)):
        states.setdefault(each.task_id, []).append(str(each.state))
    return states
