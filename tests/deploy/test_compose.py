"""The compose file: its schema, what it promises, and that planted mistakes are found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.deploy.stack import COMPOSE, DEPLOY, ROOT, SECRET, compose, problems, tool

SCHEMA = ("--builtin-schema", "vendor.compose-spec")
CELERY = ("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker")


def test_it_is_a_compose_file() -> None:
    done = tool("check-jsonschema", *SCHEMA, COMPOSE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healtcheck:"),
        ("condition: service_healthy", "condition: service_well"),
        ("stop_grace_period: 1m", "stop_grace_period: [1]"),
    ],
)
def test_a_misspelt_key_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    text = COMPOSE.read_text()
    assert right in text
    planted = tmp_path / "compose.yaml"
    planted.write_text(text.replace(right, wrong))
    assert tool("check-jsonschema", *SCHEMA, planted).returncode == 1


def test_it_keeps_what_the_stack_promises() -> None:
    assert problems(compose()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("- 127.0.0.1:${SOURCE_PORT_ON_HOST:-5433}:5432", "- 5433:5432", "source: port"),
        ("- 127.0.0.1:${AIRFLOW_UI_PORT:-8080}:8080", "- 8080", "airflow-apiserver: port"),
        (
            "POSTGRES_PASSWORD: ${AIRFLOW_DB_PASSWORD:?run ./make-env}",
            "POSTGRES_PASSWORD: airflow",
            "airflow-db: POSTGRES_PASSWORD",
        ),
        (
            "REDISCLI_AUTH: ${REDIS_PASSWORD:?run ./make-env}",
            "REDISCLI_AUTH: ${REDIS_PASSWORD}",
            "redis: REDISCLI_AUTH",
        ),
        (
            "${AIRFLOW_JWT_SECRET:?run ./make-env}",
            "${AIRFLOW_JWT_SECRET:-jwt}",
            "airflow-worker: AIRFLOW__API_AUTH__JWT_SECRET",
        ),
        ("image: redis:7.4.5-bookworm", "image: redis:latest", "redis: image"),
        ("  cap_drop: [ALL]", "  cap_drop: [NET_RAW]", "keeps capabilities"),
        ('  security_opt: ["no-new-privileges:true"]', "  security_opt: []", "new privileges"),
        ("SETGID, SETUID]", "SETGID, SETUID, SYS_ADMIN]", "more capabilities"),
        ("    restart: unless-stopped\n    user: redis", "    user: redis", "redis: no restart"),
        ("      - ./griddb/conf:/etc/griddb:ro", "      - ./griddb/conf:/etc/griddb", "griddb: ./griddb/conf"),
        (
            "healthcheck:\n      test: [CMD, python3",
            "x-healthcheck:\n      test: [CMD, python3",
            "griddb: no health check",
        ),
        ("griddb: {condition: service_healthy}", "griddb: {condition: service_started}", "waits for the start"),
    ],
)
def test_a_broken_promise_is_found(right: str, wrong: str, said: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    found = problems(compose(text.replace(right, wrong)))
    assert any(said in line for line in found), found


def test_every_secret_is_asked_for_in_the_example() -> None:
    """What compose insists on is what `.env.example` has, empty or told aloud."""
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", COMPOSE.read_text()))
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    offered = {name for name, equals, _ in (line.partition("=") for line in lines) if equals and name.isupper()}
    assert asked == {name for name in offered if SECRET.search(name)}


def test_airflows_parts_share_all_settings() -> None:
    services = compose()["services"]
    shared = {name: services[name]["environment"] for name in CELERY}
    shared["airflow-worker"] = {k: v for k, v in shared["airflow-worker"].items() if k != "DUMB_INIT_SETSID"}
    assert len({json.dumps(settings, sort_keys=True) for settings in shared.values()}) == 1


def test_workers_can_be_many() -> None:
    worker = compose()["services"]["airflow-worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)


def test_it_waits_for_what_it_needs() -> None:
    services = compose()["services"]
    for name in CELERY:
        assert services[name]["depends_on"]["airflow-init"]["condition"] == "service_completed_successfully"
        assert services[name]["depends_on"]["airflow-db"]["condition"] == "service_healthy"
    assert services["airflow-worker"]["depends_on"]["griddb"]["condition"] == "service_healthy"
    assert services["airflow-worker"]["depends_on"]["sample"]["condition"] == "service_completed_successfully"
    assert services["sample"]["depends_on"]["source"]["condition"] == "service_healthy"


def test_every_volume_and_needed_service_is_there() -> None:
    """Compose's schema does not look at names."""
    found = compose()
    for name, service in found["services"].items():
        assert set(service.get("depends_on", {})) <= set(found["services"]), name
        named = {str(v).partition(":")[0] for v in service.get("volumes", []) if not str(v).startswith(".")}
        assert named <= set(found["volumes"]), name


def test_the_source_can_be_followed() -> None:
    assert "wal_level=logical" in compose()["services"]["source"]["command"]


def test_a_health_check_that_asks_airflow_gets_its_settings() -> None:
    """`docker exec`, and so a health check, does not come through the entry point."""
    asking = {
        name: " ".join(service["healthcheck"]["test"])
        for name, service in compose()["services"].items()
        if re.search(r"airflow jobs|celery --app", " ".join(service.get("healthcheck", {}).get("test", [])))
    }
    assert set(asking) == {"airflow-dag-processor", "airflow-triggerer", "airflow-worker"}
    for name, test in asking.items():
        assert "python /opt/gridferry/environment.py" in test, name


def test_the_dags_are_those_that_tests_run() -> None:
    mounted = {
        str(volume).split(":")[0]
        for service in compose()["services"].values()
        for volume in service.get("volumes", [])
        if "/opt/airflow/dags" in str(volume)
    }
    assert mounted == {"../examples/airflow"}
    assert (DEPLOY / mounted.pop()).resolve() == ROOT / "examples" / "airflow"
    assert yaml.safe_load((ROOT / "examples/airflow/gridferry.yaml").read_text())["target"] == {
        "airflow_conn_id": "griddb_default"
    }
