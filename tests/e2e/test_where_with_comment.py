"""A `where` that ends in a comment: commands that add a condition of their own see the rows of both, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import Ferry

WHERES = ("active -- only the live ones", "active /* the live */ -- ones", "\nactive\n-- 'it''s'")


@pytest.fixture(params=WHERES)
def part(request: pytest.FixtureRequest, ferry: Ferry, postgres: Database) -> Ferry:
    """A table of which half is loaded, in mode watermark, one container a device; a row that is too long."""
    postgres.run(
        """
        CREATE TABLE part (id int, ts timestamptz(3), device text, active bool, v text, PRIMARY KEY (device, id));
        INSERT INTO part SELECT g, '2024-01-01', 'd' || g % 3, g % 2 = 0, 'x' FROM generate_series(1, 40) g;
        INSERT INTO part VALUES (100, '2024-01-01', 'd1', true, repeat('L', 40000)),
                                (101, '2024-01-01', 'd1', false, repeat('L', 40000));
        """
    )
    return ferry.of(
        {
            "table": "public.part",
            "where": request.param,
            "split_by": "device",
            "on_bad_row": "quarantine",
            "sync": {"mode": "watermark", "column": "id"},
        }
    )


def stored(ferry: Ferry) -> list[int]:
    return sorted(row["id"] for name in ferry.catalog("public.part").values() for row in ferry.rows(name))


EVEN = [number for number in range(1, 41) if number % 2 == 0]


def test_load_and_replay_of_the_quarantine(part: Ferry, postgres: Database, tmp_path: Path) -> None:
    (load,) = part.load()
    assert (load.rows, load.quarantined) == (20, 1)
    refused_still = command(part, tmp_path, "quarantine", "replay")
    assert (refused_still.code, "1 row still held" in refused_still.text) == (1, True)
    postgres.run("UPDATE part SET v = 'short' WHERE id >= 100")
    assert "1 row stored" in command(part, tmp_path, "quarantine", "replay").text
    assert stored(part) == [*EVEN, 100]


def test_a_load_that_goes_on_with_rows_in_quarantine(part: Ferry, postgres: Database, tmp_path: Path) -> None:
    postgres.run("UPDATE part SET v = chr(1) || repeat('L', 40000) WHERE id = 2")
    with part.migration() as migration:
        migration.loads.prepare("public.part", rows_per_chunk=5)
        migration.loads.load_bucket("public.part", bucket=0, of=1, rows_per_chunk=5)
    postgres.run("UPDATE part SET v = 'short' WHERE id = 2")
    with part.migration() as migration:
        migration.loads.finish("public.part", rows_per_chunk=5)
    assert stored(part) == EVEN


def test_status_of_containers_counts_what_waits(part: Ferry, postgres: Database, tmp_path: Path) -> None:
    part.load()
    postgres.run("INSERT INTO part SELECT g, now(), 'd' || g % 3, g % 2 = 0, 'y' FROM generate_series(200, 205) g")
    with part.migration() as migration:
        waiting = {state.value: state.waiting for state in migration.status.container_states()}
    assert sum(count or 0 for count in waiting.values()) == 3
    assert command(part, tmp_path, "status", "--containers").code == 0
    assert command(part, tmp_path, "sync").code == 1  # a row of the load is in quarantine
    assert stored(part) == [*EVEN, 200, 202, 204]


def test_verify_and_repair_see_the_rows_of_the_condition_only(part: Ferry, postgres: Database, tmp_path: Path) -> None:
    part.load()
    postgres.run("DELETE FROM part WHERE id = 4; UPDATE part SET active = NOT active WHERE id IN (5, 6)")
    # The sync sees the new versions of both, and takes the one for which the condition holds now.
    assert command(part, tmp_path, "sync").code == 1
    said = command(part, tmp_path, "repair")
    assert "2 rows repaired (2 deleted)" in said.text
    assert command(part, tmp_path, "verify").code == 1  # but for the row in quarantine they are equal
    assert stored(part) == sorted({*EVEN, 5} - {4, 6})
