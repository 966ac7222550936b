"""A run was killed inside a transaction on a container: the next one waits for its end, and comes to its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.conftest import Database
from tests.e2e.changes import READING, sync, without_slots
from tests.e2e.ferry import CATALOG, JOURNAL, QUARANTINE, STATE, Ferry
from tests.readings import make_numbered_readings

from gridferry.model.verification import STORED_ARE_EQUAL


@pytest.fixture
def used(ferry: Ferry, postgres: Database) -> Iterator[Ferry]:
    """A table that is loaded and followed, with a row in each of gridferry's own containers."""
    make_numbered_readings(postgres)
    postgres.run(
        "ALTER TABLE reading ADD at timestamptz DEFAULT '2026-01-01'; UPDATE reading SET at = 'infinity' WHERE k = 3"
    )
    with without_slots(postgres):
        used = ferry.of({**READING, "on_bad_row": "quarantine"})
        used.load()
        sync(used)
        with used.store() as store:
            container = store.open_container("reading_d1")
            assert container is not None
            container.delete(container.scan().read_all().to_batches()[0].slice(0, 1).select(["k"]))
        with used.migration() as migration:
            migration.repairs.repair()
        yield used


def kill_inside(ferry: Ferry, name: str) -> None:
    command = [sys.executable, "-m", "tests.e2e.locking_client", ferry.url, name]
    with subprocess.Popen(command, env={**os.environ, **ferry.env}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "inside\n"
        finally:
            process.kill()


@pytest.mark.parametrize("name", [STATE, CATALOG, QUARANTINE, JOURNAL, "reading_d1"])
def test_the_next_run_comes_to_its_end(used: Ferry, postgres: Database, name: str) -> None:
    postgres.run("UPDATE reading SET n = n + 100; INSERT INTO reading VALUES (50, 'new', 1, 'a new container')")
    kill_inside(used, name)
    (synced,) = sync(used)
    assert synced.outcome != "stopped"
    with used.migration() as migration:
        assert migration.verifications.verify().verdict in STORED_ARE_EQUAL


@pytest.mark.parametrize("name", [STATE, "reading_d1"])
def test_a_load_that_replaces_comes_to_its_end(used: Ferry, name: str) -> None:
    kill_inside(used, name)
    (loaded,) = used.load(replace=True)
    assert loaded.outcome == "loaded"
    assert used.equal()
