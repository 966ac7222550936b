"""`gridferry demo` as a user runs it: in a process of its own, to its end, and interrupted at each of its steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from gridferry.checkpoint.catalog import CATALOG_CONTAINER, Catalog, CatalogEntry
from gridferry.demo.footprint import MARK_CONTAINER
from gridferry.embedded.server import Server, serve
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, Store, connect

DEMO = [sys.executable, "-m", "gridferry.cli.main", "demo", "--rows", "4000"]
PASSWORD = "quite-secret"
OTHER = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("id", GridType.LONG, nullable=False),))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder for everything; as root, PostgreSQL runs as another user, who must pass through it."""
    made = Path(tempfile.mkdtemp(prefix="demo-"))
    made.chmod(0o755)
    yield made
    made.with_suffix(".html").unlink(missing_ok=True)
    shutil.rmtree(made)


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """The process's environment, with that folder in the place of /tmp."""
    unset = ("GRIDFERRY_TARGET", "GRIDDB_PASSWORD", "COLUMNS")
    return {**{k: v for k, v in os.environ.items() if k not in unset}, "TMPDIR": str(folder)}


def run_demo(environment: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    page = ["--report", environment["TMPDIR"] + ".html"]
    return subprocess.run(
        [*DEMO, *page, *options], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def leftovers(folder: Path) -> list[str]:
    """What still lies or runs in a folder."""
    running = [
        " ".join(p.info["cmdline"] or [])
        for p in psutil.process_iter(["cmdline", "environ"])
        if str(folder) in " ".join(p.info["cmdline"] or []) or (p.info["environ"] or {}).get("TMPDIR") == str(folder)
    ]
    return [*map(str, folder.iterdir()), *running]


def test_the_whole_story(environment: dict[str, str], folder: Path) -> None:
    done = run_demo(environment)
    assert done.returncode == 0, done.stderr
    for part in (
        "4,001 rows", "becomes 3 TIME_SERIES containers", "gridferry load", "public.device: loaded",
        "All values are equal", 'gridferry tql device1 "select MAX(ts)"', "2020-07-19T23:", "gridferry init",
        "synced, 4 rows in 4 containers (1 of them new)", "2 rows differ", "The late reading came.",
        "ADD PRIMARY KEY", "synced, 6 rows in 5 containers (1 of them new), 2 rows", "dropped: replication slot",
    ):  # fmt: skip
        assert part in done.stdout
    assert done.stdout.count("All values are equal") == 3
    assert "2 rows repaired (1 replaced, 1 deleted)" in done.stdout
    page = folder.with_suffix(".html").read_text()
    assert "<html" in page
    assert "device_cellar" in page
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert leftovers(folder) == []


@pytest.mark.parametrize(
    ("number", "step", "code"),
    [
        (signal.SIGINT, "1. ", 130),  # PostgreSQL starts
        (signal.SIGTERM, "3. ", 143),  # the emulator starts
        (signal.SIGINT, "6. ", 130),  # the load
        (signal.SIGTERM, "8. ", 143),  # the queries
        (signal.SIGINT, "14. ", 130),  # a sync by watermark
        (signal.SIGTERM, "21. ", 143),  # a sync by cdc, with its slot
    ],
)
def test_interrupted_it_leaves_nothing(
    environment: dict[str, str], folder: Path, *, number: signal.Signals, step: str, code: int
) -> None:
    with subprocess.Popen(
        DEMO, env={**environment, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(step):
                process.send_signal(number)
                break
        _, stderr = process.communicate(timeout=120)
    assert (process.returncode, leftovers(folder)) == (code, []), stderr
    assert "taken away again" in stderr
    assert "Traceback" not in stderr


def test_a_wrong_file_is_refused_and_nothing_is_left(environment: dict[str, str], folder: Path) -> None:
    file = Path(__file__)
    done = subprocess.run(
        [*DEMO[:-2], "--csv", str(file)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "does not hold sensor readings" in done.stderr
    assert leftovers(folder) == []


class TestWithATargetOfTheUsersOwn:
    @pytest.fixture
    def server(self) -> Iterator[Server]:
        running = serve(port=0, password=PASSWORD)
        yield running
        running.stop()

    @pytest.fixture
    def target(self, server: Server) -> str:
        host, port = server.address
        return f"griddb://admin@{host}:{port}/myCluster/public"

    @pytest.fixture
    def store(self, target: str) -> Iterator[Store]:
        with connect(target, password=PASSWORD) as opened:
            yield opened

    @pytest.fixture
    def with_target(self, environment: dict[str, str], target: str) -> dict[str, str]:
        return {**environment, "GRIDFERRY_TARGET": target, "GRIDDB_PASSWORD": PASSWORD}

    def test_only_what_the_demo_made_is_taken_away(self, with_target: dict[str, str], store: Store) -> None:
        store.create_container("mine", OTHER)
        catalog = Catalog(store, lambda: "other")
        catalog.claim([CatalogEntry("public.other", "other", None)])
        done = run_demo(with_target)
        assert done.returncode == 0, done.stderr
        assert "All values are equal" in done.stdout
        assert PASSWORD not in done.stdout + done.stderr
        assert [e.table for e in catalog.entries()] == ["public.other"]
        assert store.container_names() == [CATALOG_CONTAINER, "mine"]

    def test_containers_of_somebody_else_stop_it_unless_it_may_replace_them(
        self, with_target: dict[str, str], store: Store
    ) -> None:
        theirs = store.create_container("Device2", OTHER)
        theirs.put(pa.record_batch([[1, 2]], schema=OTHER.arrow_schema))
        done = run_demo(with_target)
        assert done.returncode == 2
        assert "that no demo made: Device2" in done.stderr
        assert store.container_names() == ["Device2"]
        assert theirs.count() == 2
        replacing = run_demo(with_target, "--replace")
        assert replacing.returncode == 0, replacing.stderr
        assert store.container_names() == []

    def test_kept_containers_are_known_as_a_demos(self, with_target: dict[str, str], store: Store) -> None:
        kept = run_demo(with_target, "--keep", "--json")
        assert kept.returncode == 0, kept.stderr
        end = json.loads(kept.stdout)["kept"][-1].partition("#")[0]
        subprocess.run(end, shell=True, check=True, timeout=60)
        assert {"device1", "device2", "device3", MARK_CONTAINER} <= set(store.container_names())
        store.drop_container("device1")
        store.create_container("device1", OTHER)  # its name is the demo's still
        store.create_container("device_9", OTHER)
        again = run_demo(with_target)
        assert again.returncode == 0, again.stderr
        assert store.container_names() == ["device_9"]

    def test_without_a_password_it_says_so(self, with_target: dict[str, str]) -> None:
        del with_target["GRIDDB_PASSWORD"]
        done = run_demo(with_target)
        assert done.returncode == 2
        assert "set GRIDDB_PASSWORD" in done.stderr


def test_kept_it_can_be_used_and_ended(environment: dict[str, str], folder: Path) -> None:
    done = run_demo(environment, "--keep", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["verified"]["verdict"] == "equal"
    assert document["rows"] == sum(c["target_rows"] for c in document["verified"]["tables"][0]["containers"])
    *before, status, end = document["kept"]
    assert status == "gridferry status"
    watermark, cdc = document["watermark"], document["cdc"]
    assert [done["rows"] for done in watermark["syncs"]] == [4, 1]
    assert watermark["verified"]["verdict"] == "equal"
    missed_rows = watermark["after_update_and_delete"]["tables"][0]["containers"]
    missed = {c["name"] for c in missed_rows if c["different"] or c["extra"]}
    assert missed == {"device1", "device3"}
    assert [(done["read"], done["rows"], done["deleted"]) for done in cdc["syncs"]] == [(7, 6, 2)]
    assert (cdc["verified"]["verdict"], cdc["dropped"]) == ("equal", [])  # kept: it can be followed on
    script = "\n".join([*before, f"{sys.executable} -m gridferry.cli.main status --json"])
    told = subprocess.run(script, shell=True, env=environment, capture_output=True, text=True, check=False, timeout=60)
    subprocess.run(end.partition("#")[0], shell=True, check=False, timeout=60)
    (table,) = json.loads(told.stdout)["tables"]
    assert (table["state"], table["sync"]["mode"], table["sync"]["state"]) == ("loaded", "cdc", "idle"), told.stderr
    assert leftovers(folder) == []
