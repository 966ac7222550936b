"""The path of somebody new, in a browser: `make airflow`, log in, turn two DAGs on, see rows arrive.

GRIDFERRY_SCREENSHOTS=folder keeps the pictures: docs/walkthrough.md shows them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from playwright.sync_api import FrameLocator, expect
from tests.airflow.browser import PATIENCE_S, SIZE, Pages, chromium

ROOT = Path(__file__).parents[2]
INITIAL, CONTINUOUS, PARITY = (
    f"griddb_postgres_{name}" for name in ("migration_initial", "migration_continuous", "parity")
)
ROWS = 405_184


@dataclass
class Local:
    """`make airflow` under way, and what it said."""

    process: subprocess.Popen[str]
    said: str

    def told(self, pattern: str) -> str:
        """What it said of a thing."""
        found = re.search(pattern, self.said)
        assert found is not None, self.said
        return found.group(1)

    @property
    def url(self) -> str:
        return self.told(r"Airflow is at (\S+)")


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    process = subprocess.Popen(
        [sys.executable, "-m", "gridferry.airflow.local", "--port", "8100"],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = ""
        while "Ctrl-C ends all of it" not in said:
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        yield Local(process, said)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        process.kill()
        process.stdout.close()


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    told = os.environ.get("GRIDFERRY_SCREENSHOTS")
    folder = Path(told) if told else tmp_path_factory.mktemp("shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def pages(local: Local, shots: Path) -> Iterator[Pages]:
    """Airflow in a browser, logged in with what `make airflow` said."""
    with chromium() as browser:
        pages = Pages(browser.new_page(viewport=SIZE), local.url, shots)
        pages.log_in(*local.told(r"login: (\S+ / \S+)").split(" / "))
        yield pages


def finished(pages: Pages, dag: str, *, runs: int = 1) -> dict[str, Any]:
    """The newest of as many runs, once it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found: Any = pages.ask(f"/dags/{dag}/dagRuns?order_by=-run_after")["dag_runs"]
        if len(found) == runs and found[0]["state"] in ("success", "failed"):
            return dict(found[0])
        assert time.monotonic() < deadline, f"waited in vain for {dag}: {found}"
        pages.page.wait_for_timeout(500)


def triggered(pages: Pages, dag: str) -> dict[str, Any]:
    """A run made by the button on the DAG's page, once it has ended."""
    before: Any = pages.ask(f"/dags/{dag}/dagRuns")["total_entries"]
    pages.open(f"/dags/{dag}")
    pages.page.get_by_role("button", name="Trigger").click()
    pages.page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    return finished(pages, dag, runs=before + 1)


def parity_page(pages: Pages) -> FrameLocator:
    """The plugin's page, by the menu. Its answers are kept for seconds: it is asked until they are the new ones."""
    pages.page.get_by_role("link", name="Parity", exact=True).click()
    return pages.page.frame_locator("iframe")


def task_page(run: dict[str, Any], task: str) -> str:
    """Where the log of a run's task is."""
    return f"/dags/{run['dag_id']}/runs/{quote(run['dag_run_id'], safe='')}/tasks/{task}"


def test_the_connection_form_and_its_test_button(pages: Pages) -> None:
    pages.open("/connections")
    pages.connection("griddb_default").get_by_role("button", name="Test Connection").click()
    good = pages.page.get_by_text("Logged in to cluster myCluster, database public, as admin")
    expect(good).to_be_visible()
    pages.shoot("connection-tested")

    pages.page.get_by_role("button", name="Add Connection").click()
    form = pages.page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill("griddb_wrong")
    form.get_by_role("combobox").first.click()
    pages.page.get_by_role("option", name="GridDB", exact=True).click()
    where: Any = pages.ask("/connections/griddb_default")
    for field, value in {
        "host": where["host"],
        "port": str(where["port"]),
        "login": "admin",
        "password": "WrongSecret",
        "schema": "myCluster",
    }.items():
        form.locator(f"input[name={field}]").fill(value)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for label in ("Database", "Members", "Provider URL", "Multicast", "TLS", "CA file"):
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    pages.shoot("connection-form")
    form.get_by_role("button", name="Save").click()

    wrong = pages.connection("griddb_wrong")
    wrong.get_by_role("button", name="Test Connection").click()
    bad = pages.page.get_by_text('refused the login of "admin"')
    expect(bad).to_be_visible()
    assert "WrongSecret" not in pages.page.content()
    pages.shoot("connection-refused")
    wrong.get_by_role("button", name="Delete Connection").click()
    pages.page.get_by_role("button", name="Yes, Delete").click()
    expect(wrong).to_have_count(0)


@pytest.fixture(scope="module")
def migrated(pages: Pages) -> Pages:
    """Both DAGs turned on by their switches, and done."""
    pages.open("/dags")
    expect(pages.page.get_by_test_id("dag-card")).to_have_count(3)
    pages.shoot("dags")
    for dag in (CONTINUOUS, INITIAL):
        pages.dag(dag).get_by_test_id("toggle-pause").click()
    assert finished(pages, INITIAL)["state"] == "success"
    assert finished(pages, CONTINUOUS)["state"] == "success"
    return pages


def test_two_dags_are_turned_on_and_rows_arrive(migrated: Pages) -> None:
    pages = migrated
    pages.open("/dags")
    for dag in (INITIAL, CONTINUOUS):
        expect(pages.dag(dag).get_by_test_id("latest-run").get_by_role("link")).to_be_visible()

    # The grid of the first load, and what its last task says.
    pages.open(f"/dags/{INITIAL}")
    for task in ("prepare", "load", "finish"):
        expect(pages.page.get_by_text(re.compile(rf"^{task}( \[ \])?$")).first).to_be_visible()
    pages.shoot("grid")
    pages.open(task_page(finished(pages, INITIAL), "finish"))
    expect(pages.page.get_by_text(f"{ROWS:,} rows stored in 3 containers")).to_be_visible()
    pages.shoot("load-log")
    events: Any = pages.ask("/assets/events")["asset_events"]
    assert {event["name"] for event in events} >= {f"myCluster/public/device{n}" for n in (1, 2, 3)}
    pages.open("/assets")
    pages.page.get_by_role("link", name="griddb_default/public.device").click()
    for container in ("device1", "device2", "device3"):
        expect(pages.page.get_by_role("link", name=f"myCluster/public/{container}")).to_be_visible()
    pages.shoot("asset")


def test_new_readings_come_with_the_hourly_dag(migrated: Pages, local: Local) -> None:
    pages = migrated
    with psycopg.connect(local.told(r"psql '([^']+)'\n"), autocommit=True) as connection:
        connection.execute(
            "INSERT INTO device SELECT now()::timestamp + i * interval '1 second', 'b8:27:eb:bf:9d:51',"
            " 0.005, 51, false, 0.007, false, 0.02, 22.7 FROM generate_series(1, 60) AS i"
        )
    run = triggered(pages, CONTINUOUS)
    assert run["state"] == "success"
    pages.open(task_page(run, "sync"))
    expect(pages.page.get_by_text(re.compile(r"device: synced: 60 rows, .* \(60 read, 0 deleted\)"))).to_be_visible()
    pages.shoot("sync-log")


def test_the_proof_is_green_and_red_where_a_row_differs(migrated: Pages, local: Local) -> None:
    pages = migrated
    pages.open("/dags")
    pages.dag(PARITY).get_by_test_id("toggle-pause").click()
    run = finished(pages, PARITY)
    assert run["state"] == "success"
    pages.open(task_page(run, "verify"))
    expect(pages.page.get_by_text(re.compile(r"device: equal; .* in 3 containers compared"))).to_be_visible()
    pages.shoot("verify-log")
    parity = parity_page(pages)
    expect(parity.locator("#verdict")).to_contain_text("405,244 rows in 3 containers are equal")
    expect(parity.locator(".container-row")).to_have_count(3)
    expect(parity.locator(".container-row").filter(has_text="device1")).to_contain_text("187,511")
    pages.shoot("parity")

    with psycopg.connect(local.told(r"psql '([^']+)'\n"), autocommit=True) as connection:
        connection.execute("DELETE FROM device WHERE ctid = (SELECT min(ctid) FROM device)")
    run = triggered(pages, PARITY)
    assert run["state"] == "failed"
    pages.open(task_page(run, "verify"))
    said = pages.page.get_by_text("1 row differs, in 1 container: device").first
    expect(said).to_be_visible()
    said.click()  # folds the stack of calls
    pages.page.keyboard.press("w")  # wraps long lines
    pages.shoot("verify-failed")
    parity = parity_page(pages)
    expect(parity.locator("#verdict")).to_contain_text("1 row")
    expect(parity.locator(".container-row").first).to_contain_text("different")
    pages.shoot("parity-different")


def test_ctrl_c_ends_all_of_it(local: Local, pages: Pages) -> None:
    assert local.process.stdout is not None
    folder = Path(local.told(r"host=([^&']+)").replace("%2F", "/"))
    assert folder.exists()
    local.process.send_signal(signal.SIGINT)
    rest = local.process.stdout.read()
    assert local.process.wait(60) == 0
    assert "All of it is stopped and removed." in rest
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(local.process.pid, 0)
