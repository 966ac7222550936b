"""The programs in examples/ run as a newcomer would start them, and say what they should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import Database

from gridferry.embedded.server import Server, serve
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, connect

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LIMIT_S = 180
# Runs the file that comes next, in a Python in which pandas seems not to be installed.
WITHOUT_PANDAS = """
import os, runpy, sys
from importlib.machinery import PathFinder
found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name == "pandas" else found(name, *rest)
del sys.argv[0]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(name: str, *options: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """An example, run in a process of its own; warnings are errors there too."""
    return subprocess.run(
        [sys.executable, "-W", "error", *before, str(EXAMPLES / f"{name}.py"), *options],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "GRIDDB_PASSWORD": "admin"},
        check=False,
    )


def lines(name: str, *options: str, before: tuple[str, ...] = ()) -> list[str]:
    """What an example prints; it must end well and warn of nothing."""
    done = run(name, *options, before=before)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def emulator() -> Iterator[Server]:
    server = serve(port=0)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def target(emulator: Server) -> str:
    host, port = emulator.address
    return f"griddb://admin@{host}:{port}/myCluster/public"


def container_names(target: str) -> list[str]:
    """The containers there, without gridferry's own."""
    with connect(target, password="admin") as store:
        return [name for name in store.container_names() if not name.startswith("gridferry_")]


DRIVER = [
    "5 rows in ferry_example_driver",
    "hot: 00:03 31.5 roof",
    "average: 23.75",
    "deleted: 1, left: 4",
    "first now: 19.0",
]
PAGES = ["pages: [500, 500, 440]", "Arrow: 720 rows, timestamp[ms, tz=UTC]"]
MIGRATE = [
    "plan: public.ferry_example_migrate becomes 3 containers",
    "load: loaded, 3,000 rows",
    "sync: synced, 30 new rows in 3 containers",
    "verify: public.ferry_example_migrate is equal, 3,030 rows",
]


def without_the_other(said: list[str]) -> list[str]:
    """What is said apart from the other example's table, which the same GridDB has, and this config does not name."""
    return [line for line in said if "is in the config no more" not in line]


def check_follow(said: list[str]) -> None:
    """The five changes may be stored together or one by one."""
    stored = re.findall(r"stored: (\d+) inserts, (\d+) updates, (\d+) deletes", "\n".join(said[:-2]))
    assert len(stored) == len(said) - 2
    assert [sum(map(int, kind)) for kind in zip(*stored, strict=True)] == [2, 1, 2]
    assert said[-2:] == ["in GridDB: 1 changed, 4 new, 5 new", "verify: equal"]


def test_every_example_has_a_test_here() -> None:
    tested = {"driver", "to_pandas", "migrate", "follow"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} - {"ends"} == tested


def test_the_driver_alone() -> None:
    assert lines("driver") == DRIVER


def test_rows_become_a_data_frame() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed: the other test runs")
    expected = ["pandas: 720 rows from 00:00 to 11:59", "mean by pandas: cellar 12.00", "mean by pandas: roof 15.50"]
    assert lines("to_pandas") == PAGES + expected


def test_without_pandas_arrow_does_it() -> None:
    said = lines("to_pandas", before=("-c", WITHOUT_PANDAS))
    assert said == [*PAGES, "mean by Arrow: cellar 12.00", "mean by Arrow: roof 15.50"]


def test_a_migration_on_throw_away_servers() -> None:
    assert lines("migrate") == MIGRATE


def test_following_on_throw_away_servers() -> None:
    check_follow(lines("follow"))


def test_a_server_of_ones_own_keeps_nothing_of_the_driver(target: str) -> None:
    before = container_names(target)
    assert lines("driver", "--target", target) == DRIVER
    assert container_names(target) == before


def test_what_is_there_already_is_not_touched(target: str) -> None:
    with connect(target, password="admin") as store:
        schema = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("id", GridType.LONG, nullable=False),))
        store.create_container("ferry_example_driver", schema)
        try:
            done = run("driver", "--target", target)
            assert done.returncode == 1
            assert "is there already" in done.stderr
            assert store.open_container("ferry_example_driver") is not None
        finally:
            store.drop_container("ferry_example_driver")


def test_servers_of_ones_own_as_often_as_one_likes(target: str, postgres: Database) -> None:
    ends = ("--source", postgres.dsn, "--target", target)
    for _ in range(2):
        assert without_the_other(lines("migrate", *ends)) == MIGRATE
        check_follow(without_the_other(lines("follow", *ends)))
    assert postgres.run("SELECT relname FROM pg_class WHERE relname LIKE 'ferry_example%'") == []
    assert postgres.run("SELECT slot_name FROM pg_replication_slots") == []
    assert postgres.run("SELECT pubname FROM pg_publication") == []
    sensors = [f"ferry_example_migrate_s{n}" for n in (1, 2, 3)]
    assert sorted(container_names(target)) == ["ferry_example_follow", *sensors]


def test_an_error_says_the_next_step() -> None:
    done = run("driver", "--target", "griddb://admin@127.0.0.1:1/myCluster/public")
    assert done.returncode == 1
    assert "no connection to the GridDB node 127.0.0.1:1" in done.stderr
    assert "check that the node runs" in done.stderr
    assert "Traceback" not in done.stderr
