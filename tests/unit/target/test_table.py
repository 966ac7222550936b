"""Containers by split value: names that meet, names that cannot be, and what stands before a row is put."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.source.conftest import make_plan

from gridferry.errors import ConnectionLost, DataError, PlanError, SchemaConflict, TargetNotEmpty
from gridferry.griddb.handle import Handle
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType
from gridferry.target.containers import require_free
from gridferry.target.table import TableTarget

PLAN = replace(
    make_plan("t", "k v", key=("k",)), split_by="v", naming="t_{value}", aliases={"alias": "T_Other", "bad": "a b"}
)
PLAN = replace(
    PLAN,
    columns=tuple(
        replace(c, target=replace(c.target, nullable=i > 0)) for i, c in enumerate(PLAN.columns)
    ),
)  # fmt: skip
OTHER = ContainerSchema(ContainerKind.COLLECTION, (ColumnSpec("k", GridType.LONG, nullable=False),))


@dataclass
class FakeContainer:
    name: str
    schema: ContainerSchema
    rows: int = 0
    number: int = 0

    @property
    def handle(self) -> Handle:
        return Handle(self.name, 0, self.number, 0, self.schema)


class FakeStore:
    """Containers by name, ignoring case; `log` has what was done."""

    def __init__(self) -> None:
        self.there: dict[str, FakeContainer] = {}
        self.log: list[tuple[str, tuple[str, ...]]] = []

    def add(self, name: str, schema: ContainerSchema = PLAN.container_schema, rows: int = 0) -> None:
        self.there[name.lower()] = FakeContainer(name, schema, rows, len(self.there) + 1)

    def create_containers(self, names: Sequence[str], schema: ContainerSchema) -> list[FakeContainer]:
        self.log.append(("create", tuple(names)))
        for name in names:
            if name.lower() not in self.there:
                self.add(name, schema)
        return [self.there[name.lower()] for name in names]

    def drop_containers(self, names: Iterable[str]) -> None:
        self.log.append(("drop", tuple(names)))
        for name in names:
            self.there.pop(name.lower(), None)

    def open_containers(self, names: Sequence[str]) -> dict[str, FakeContainer | None]:
        return {name: self.there.get(name.lower()) for name in names}

    def counts(self, containers: Sequence[FakeContainer]) -> list[int]:
        return [c.rows for c in containers]


def broken(names: Sequence[str], schema: ContainerSchema) -> list[FakeContainer]:
    raise ConnectionLost("the server is away")


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def containers(store: FakeStore, **options: Any) -> TableTarget:
    return TableTarget(
        store,  # type: ignore[arg-type]
        PLAN,
        register=lambda names: store.log.append(("register", tuple(name for name, _ in names))),
        **options,
    )


def test_a_value_that_appears_is_written_down_before_its_container_is_made(store: FakeStore) -> None:
    made = containers(store)
    handles = made.handles(["x", None, "alias", ""])
    assert [h.name for h in handles] == ["t_x", "t_=null", "T_Other", "t_=empty"]
    names = ("t_x", "t_=null", "T_Other", "t_=empty")
    assert store.log == [("register", names), ("create", names)]
    assert made.handles(["x"]) == [handles[0]]
    assert len(store.log) == 2
    assert set(made.by_value) == {"x", None, "alias", ""}


def test_known_containers_are_opened_without_being_written_down_again(store: FakeStore) -> None:
    store.add("t_x", rows=5)
    made = containers(store)
    made.open_or_create([("t_x", "x")])
    assert store.log == [("create", ("t_x",))]
    assert made.handles(["x"])[0].container_id == 1


def test_containers_that_are_there_are_opened_and_those_that_are_gone_are_made_again_and_told(store: FakeStore) -> None:
    store.add("t_x", rows=5)
    made = containers(store)
    made.expect([("t_x", "x"), ("t_y", "y")])
    assert [h.name for h in made.handles(["x", "y", "x"])] == ["t_x", "t_y", "t_x"]
    assert store.log == [("create", ("t_y",))]
    assert (made.gone, made.created, made.touched) == (["t_y"], [], {"x", "y"})
    store.there.pop("t_x")
    made.reopen()
    assert made.gone == ["t_y", "t_x"]
    store.add("t_y", OTHER)
    with pytest.raises(SchemaConflict, match=r'"t_y".*has other columns') as caught:
        made.reopen()
    assert "--replace" in caught.value.next_step


def test_expected_containers_are_opened_when_they_are_asked_for(store: FakeStore) -> None:
    store.add("t_x", rows=5)
    made = containers(store)
    made.expect([("t_x", "x"), ("t_y", "y")])
    assert store.log == []
    assert [h.name for h in made.handles(["x", "z"])] == ["t_x", "t_z"]
    assert store.log == [("register", ("t_z",)), ("create", ("t_z",))]
    with pytest.raises(DataError, match="would meet"):
        made.expect([("T_X", "X")])


def test_a_container_that_another_process_made_meanwhile_is_ours_too(store: FakeStore) -> None:
    listed: list[tuple[str, str | None]] = []
    made = containers(store, listed=lambda: listed)
    store.add("t_x", rows=5)
    with pytest.raises(TargetNotEmpty):
        made.handles(["x", "y"])
    listed.append(("t_x", "x"))
    assert [h.name for h in made.handles(["x", "y"])] == ["t_x", "t_y"]
    assert store.log == [("register", ("t_y",)), ("create", ("t_x", "t_y"))]
    store.add("t_z", rows=1)
    with pytest.raises(TargetNotEmpty, match='"t_z"'):
        made.handles(["z"])


def test_reopening_finds_containers_that_were_made_anew(store: FakeStore) -> None:
    made = containers(store)
    before = made.handles(["x"])[0]
    store.there.clear()
    store.add("filler")
    made.reopen()
    after = made.handles(["x"])[0]
    assert (made.created, made.gone) == (["t_x"], [])  # its rows are not on disk yet: they are put again
    assert after.name == before.name
    assert after.container_id != before.container_id


def test_a_new_container_is_gone_only_where_its_rows_were_on_disk(store: FakeStore) -> None:
    made = containers(store)
    made.handles(["x"])
    made.stored()
    store.there.clear()
    made.reopen()
    assert (made.created, made.gone) == (["t_x"], ["t_x"])


def test_a_container_that_was_written_down_and_could_not_be_made_is_new_still(store: FakeStore) -> None:
    made = containers(store)
    really, store.create_containers = store.create_containers, broken  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost):
        made.handles(["x"])
    store.create_containers = really  # type: ignore[method-assign]
    assert [h.name for h in made.handles(["x"])] == ["t_x"]
    assert store.log == [("register", ("t_x",)), ("create", ("t_x",))]
    assert (made.created, made.gone) == (["t_x"], [])


def test_emptied_containers_are_dropped_and_made_again(store: FakeStore) -> None:
    store.add("t_x", rows=5)
    made = containers(store)
    made.expect([("t_x", "x"), ("t_y", "y")])
    made.handles(["z"])
    made.empty()
    names = ("t_x", "t_y", "t_z")
    assert store.log[-2:] == [("drop", names), ("create", names)]
    assert "x" in made
    assert "w" not in made
    assert (made.touched, made.gone) == ({"z"}, [])


@pytest.mark.parametrize(("known", "new"), [("a", "A"), ("other", "alias"), ("ß", "alias2")])
def test_values_that_would_meet_in_one_name_are_refused_before_anything_is_made(
    store: FakeStore, known: str, new: str
) -> None:
    made = containers(store)
    if new == "alias2":
        known, new = "x", "X"
    made.handles([known])
    log = list(store.log)
    with pytest.raises(DataError, match="would meet in container") as caught:
        made.handles([new])
    assert known in str(caught.value)
    assert new in str(caught.value)
    assert caught.value.next_step
    assert store.log == log


@pytest.mark.parametrize("value", ["bad", "x" * 20_000])
def test_a_value_without_a_possible_name_is_refused(store: FakeStore, value: str) -> None:
    with pytest.raises(DataError, match="no container can be called") as caught:
        containers(store).handles([value])
    assert caught.value.column == "v"
    assert store.log == []


def test_a_new_value_does_not_go_into_a_container_with_rows_or_other_columns(store: FakeStore) -> None:
    store.add("T_full", rows=1)
    store.add("t_other", OTHER)
    store.add("t_free")
    made = containers(store)
    with pytest.raises(TargetNotEmpty, match=r'"T_full" \(1 rows\)'):
        made.handles(["full"])
    with pytest.raises(PlanError, match="other columns"):
        made.handles(["other"])
    assert store.log == []
    assert made.handles(["free"])[0].name == "t_free"


def test_all_that_is_not_free_is_named_at_once(store: FakeStore) -> None:
    for n in range(8):
        store.add(f"t_{n}", rows=n)
    names = [f"t_{n}" for n in range(8)]
    with pytest.raises(TargetNotEmpty, match="and 2 more") as caught:
        require_free(store, PLAN, names)  # type: ignore[arg-type]
    assert '"t_1" (1 rows)' in str(caught.value)
    assert '"t_0"' not in str(caught.value)
