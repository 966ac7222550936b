"""`load --replace`, `report` and a half-done load on state that somebody changed: nothing of anybody else is dropped.

What is dropped has to be proven by the catalog's entry under the container's own name, and by the config or the plan.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.command import command
from tests.e2e.ferry import CATALOG, OWN, STATE, Ferry
from tests.e2e.test_hostile_state import SECRET, put_back, rows_of, spoiled, standing  # noqa: F401
from tests.fuzz.hostile_json import STRANGER

Document = dict[str, Any]
OTHER = {"table": "canary", "key": "device", "container": "of_another"}


def put_row(ferry: Ferry, container: str, row: dict[str, Any]) -> None:
    with ferry.store() as store:
        opened = store.open_container(container)
        assert opened is not None
        opened.put(pa.RecordBatch.from_pylist([row], schema=opened.schema.arrow_schema))
        opened.flush()


def change_run(ferry: Ferry, change: Callable[[Document], None]) -> None:
    """Change what is stored of the load of `reading`."""
    with ferry.store() as store:
        (row,) = [
            row
            for row in rows_of(store)[STATE].to_pylist()
            if row["scope"].endswith("load:public.reading") and row["item"] == "run"
        ]
    document = json.loads(row["body"])
    change(document)
    put_row(ferry, STATE, {**row, "body": json.dumps(document).encode()})


def entry(ferry: Ferry, container: str) -> dict[str, Any]:
    with ferry.store() as store:
        (found,) = [row for row in rows_of(store)[CATALOG].to_pylist() if row["name"] == container]
    return dict(found)


@pytest.fixture
def beside(standing: Ferry, tmp_path: Path) -> Ferry:  # noqa: F811
    """The table, and containers of others: one of another table, and one that nobody claims."""
    standing.of(OTHER).load()
    with standing.store() as store:
        known = store.open_container("reading_d1")
        assert known is not None
        theirs = store.create_container("unclaimed", known.schema)
        theirs.put(known.query("select *", limit=3).read_all().combine_chunks().to_batches()[0])
        theirs.flush()
    return standing


def others(ferry: Ferry) -> dict[str, Any]:
    """What nobody may touch: containers of others, and whose they are."""
    held = {name: sorted(map(repr, ferry.rows(name))) for name in ("of_another", "unclaimed")}
    return {**held, "entry": entry(ferry, "of_another"), "own": sorted(set(ferry.everything()) & set(OWN))}


VICTIMS = ("of_another", "unclaimed", STATE, CATALOG)
FORGED: dict[str, Callable[[Ferry, str], None]] = {
    "naming": lambda ferry, victim: change_run(ferry, lambda run: run["plan"].update(naming=victim)),
    "alias": lambda ferry, victim: change_run(ferry, lambda run: run["plan"].update(aliases={"d0": victim})),
    "containers": lambda ferry, victim: change_run(
        ferry, lambda run: run["plan"].update(containers=[{"name": victim, "value": "d0", "rows": 1}])
    ),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_stored_plan_names_nothing_that_is_dropped(beside: Ferry, tmp_path: Path, forged: str) -> None:
    before = others(beside)
    for victim in VICTIMS:
        FORGED[forged](beside, victim)
        said = command(beside, tmp_path, "load", "--replace", "--yes")
        assert said.code in (0, 1), said.text
        assert others(beside) == before
    # Neither the plan nor the config tells of the old containers then: they are left alone, too.
    FORGED[forged](beside, "of_another")
    renamed = beside.of({**beside.tables[0], "container": "{value}_anew"})
    said = command(renamed, tmp_path, "load", "--replace", "--yes")
    assert said.code in (0, 1), said.text
    assert others(beside) == before
    assert command(renamed, tmp_path, "verify").code in (0, 1)


def test_an_entry_under_another_name_proves_nothing(beside: Ferry, tmp_path: Path) -> None:
    """A plan and an entry that agree, but the container's own entry is somebody else's, or cannot be one."""
    before = others(beside)
    for victim in VICTIMS:
        FORGED["alias"](beside, victim)
        put_row(beside, CATALOG, {**entry(beside, "reading_d0"), "name": "zzz", "container": victim})
        said = command(beside, tmp_path, "load", "--replace", "--yes")
        assert said.code in (0, 1), said.text
        assert others(beside) == before
        for arguments in (("sync",), ("verify",)):  # the entry that was forged is gone
            said = command(beside, tmp_path, *arguments)
            assert said.code in (0, 1), said.text


def test_names_that_change_places_are_loaded_anew(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE t (device text, k int, PRIMARY KEY (device, k)); INSERT INTO t VALUES ('a', 1), ('b', 2)"
    )
    for names in ({"a": "x", "b": "y"}, {"a": "y", "b": "x"}, {"b": "Y"}, {"a": "t_B", "b": "t_a"}, {}):
        made = ferry.of({"table": "t", "split_by": "device", "containers": names})
        made.load(replace=True)
        assert made.equal()
        assert made.catalog("public.t") == {"a": "t_a", "b": "t_b", **names}
        assert {row["k"] for row in made.rows(names.get("a", "t_a"))} == {1}


@pytest.mark.parametrize("seed", range(4))
def test_changed_state_drops_nothing_of_others(beside: Ferry, postgres: Database, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    page = tmp_path / "report.html"
    with beside.store() as store:
        rows = rows_of(store)
        for _ in range(3):
            what = "; ".join(spoiled(store, rows, chance) for _ in range(chance.randint(1, 2)))
            half_done = chance.random() < 0.4
            if half_done:
                try:
                    change_run(beside, lambda run: run.update(state="loading"))
                except ValueError:
                    half_done = False  # it is not even JSON any more
            before = others(beside)
            reported = command(beside, tmp_path, "report", "--output", str(page))
            said = command(beside, tmp_path, "load", *(() if half_done else ("--replace", "--yes")))
            told = f"{what}\n{reported.text}\n{said.text}"
            assert SECRET not in told + (page.read_text() if page.exists() else "")
            assert said.code in (0, 1, 2, 3, 75), told
            assert reported.code in (0, 1, 2, 3, 75), told
            assert others(beside) == before, told
            assert postgres.run(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{STRANGER}'") == [(1,)], told
            if said.code == 0:
                assert command(beside, tmp_path, "verify").code in (0, 1), told
            with beside.store() as again:
                rows_now = rows_of(again)
            if said.code not in (0, 1):
                put_back(store, rows)
            else:
                rows = rows_now
