"""Names under `containers` that change after the load: new values may get any, those that have a container keep it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.e2e.changes import without_slots
from tests.e2e.command import command, refused
from tests.e2e.ferry import Ferry
from tests.e2e.test_advice import User, ways_out

MODES: dict[str, dict[str, Any]] = {"watermark": {"mode": "watermark", "column": "ts"}, "cdc": {"mode": "cdc"}}
MACS = (
    "CREATE TABLE t (device text, ts timestamptz(3), v float8, PRIMARY KEY (device, ts)); "
    "INSERT INTO t SELECT d, '2024-01-01'::timestamptz + i * interval '1 min', i "
    "FROM unnest(ARRAY['b8:27:eb', 'b8:27:ec']) d, generate_series(1, 5) i"
)
FIRST = "t_b8=3A27=3Aeb"


@pytest.fixture(params=MODES)
def user(request: pytest.FixtureRequest, ferry: Ferry, postgres: Database, tmp_path: Path) -> Iterator[User]:
    """Somebody whose table is loaded, a container for each device."""
    postgres.run(MACS)
    found = User(ferry, tmp_path, postgres, {"split_by": "device", "sync": MODES[request.param]})
    with without_slots(postgres):
        assert found.run("load")[0] == 0
        yield found


def advised(user: User, *command: str) -> dict[str, Any]:
    """The error of a command that is refused, once the first of its ways out was followed."""
    code, said = user.run(*command)
    assert code != 0, said
    error: dict[str, Any] = said["error"]
    assert error["state"], error
    user.follow(ways_out(error["next_step"])[0])
    return error


def level(user: User) -> None:
    for words in (("sync",), ("verify",), ("status", "--containers"), ("load",)):
        code, said = user.run(*words)
        assert code == 0, (words, said)


def test_devices_that_meet_in_one_name_get_names_of_their_own(user: User, postgres: Database) -> None:
    postgres.run(
        "INSERT INTO t VALUES ('B8:27:EB', '2024-01-02', 1), ('B8:27:EC', '2024-01-02', 1), ('x', '2024-01-02', 1)"
    )
    error = advised(user, "sync")
    assert "would meet in container" in error["message"]
    assert "--replace" not in error["next_step"]
    level(user)
    assert user.ferry.catalog("public.t")["B8:27:EB"] == "t_B8=3A27=3AEB_2"
    postgres.run("INSERT INTO t VALUES ('B8:27:eb', '2024-01-03', 1), ('B8:27:EB', '2024-01-03', 1)")
    advised(user, "sync")
    level(user)
    assert len(user.table["containers"]) == 3


def test_a_device_whose_name_is_taken_gets_another(user: User, postgres: Database) -> None:
    with user.ferry.store() as store:
        known = store.open_container(FIRST)
        assert known is not None
        theirs = store.create_container("t_theirs", known.schema)
        theirs.put(known.query("select *", limit=1).read_all().combine_chunks().to_batches()[0])
    before = user.ferry.rows("t_theirs")
    postgres.run("INSERT INTO t VALUES ('theirs', '2024-01-02', 1), (repeat('y', 17000), '2024-01-02', 1)")
    for _ in range(2):
        advised(user, "sync")
    level(user)
    assert user.ferry.rows("t_theirs") == before


def test_a_device_whose_name_another_table_has_gets_another(user: User, postgres: Database, tmp_path: Path) -> None:
    postgres.run("CREATE TABLE t_other (id int PRIMARY KEY); INSERT INTO t_other VALUES (1)")
    user.ferry.of("public.t_other").load()
    postgres.run("INSERT INTO t VALUES ('OTHER', '2024-01-02', 1)")
    error = advised(user, "sync")
    assert "another table" in error["message"]
    level(user)
    assert user.ferry.rows("t_other") == [{"id": 1}]


@pytest.mark.parametrize("command", [("sync",), ("verify",), ("load",), ("quarantine", "replay"), ("repair",)])
def test_a_container_that_stands_keeps_its_name(user: User, command: tuple[str, ...]) -> None:
    user.table["containers"] = {"b8:27:eb": "other"}
    error = advised(user, *command)
    assert f'"{FIRST}"' in error["message"]
    level(user)


def test_a_name_that_was_given_later_is_kept_too(user: User, postgres: Database, tmp_path: Path) -> None:
    plain = dict(user.table)
    postgres.run("INSERT INTO t VALUES ('B8:27:EB', '2024-01-02', 1)")
    advised(user, "sync")
    level(user)
    named = user.table
    for other in ({}, {"B8:27:EB": "once_more"}):
        user.table = {**plain, "containers": other}
        postgres.run(f"INSERT INTO t VALUES ('B8:27:EB', now(), {len(other)})")
        for words in (("sync",), ("verify",)):
            code, said = user.run(*words)
            assert code == 3, said
            assert "t_B8=3A27=3AEB_2" in said["error"]["message"]
            assert said["error"]["next_step"].startswith("put that name in the config back as it was")
    user.table = named
    level(user)


def test_names_of_values_without_a_container_come_and_go(user: User) -> None:
    for names in ({"never": "seen"}, {"never": "otherwise"}, {}):
        user.table["containers"] = names
        level(user)


def test_rows_in_the_wrong_container_are_never_read_for_a_stored_name(user: User, tmp_path: Path) -> None:
    """What is stored of names has no effect: those of the config count."""
    user.table["containers"] = {"b8:27:eb": "t_b8=3A27=3Aec"}
    refused(user.ferry.of(user.table), tmp_path, "verify", code=3, says=f'"{FIRST}"', advises="put its name")
    said = command(user.ferry.of(user.table), tmp_path, "load", "--replace", "--yes")
    assert said.code == 2, said.text  # two devices in one container
