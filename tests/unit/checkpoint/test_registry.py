"""The migrations of a target: told apart by name or origin, entered once, under keys that stay."""

from __future__ import annotations

from itertools import islice

import pytest
from tests.unit.checkpoint.documents_fake import FakeDocuments

from gridferry.checkpoint.registry import Registry, keys_of
from gridferry.errors import CheckpointError
from gridferry.model.migration import DatabaseOrigin

ONE = DatabaseOrigin("7001", 16384, "one")
TWO = DatabaseOrigin("7001", 16385, "two")
ELSEWHERE = DatabaseOrigin("7002", 16384, "one")


@pytest.fixture
def documents() -> FakeDocuments:
    return FakeDocuments()


@pytest.fixture
def registry(documents: FakeDocuments) -> Registry:
    return Registry(documents)


def test_a_migration_without_a_name_is_that_of_its_database(registry: Registry) -> None:
    made = {origin: registry.begin(registry.proposed("", origin)) for origin in (ONE, TWO, ELSEWHERE)}
    assert len({entry.key for entry in made.values()}) == 3
    assert {origin: registry.find("", origin) for origin in made} == made
    assert [entry.key for entry in registry.all()] == sorted(
        (e.key for e in made.values()), key=lambda k: (registry.get(k).created_at, k)  # type: ignore[union-attr]
    )  # fmt: skip


def test_a_renamed_database_keeps_its_migration(registry: Registry) -> None:
    made = registry.begin(registry.proposed("", ONE))
    assert registry.find("", DatabaseOrigin("7001", 16384, "renamed")) == made


def test_a_name_finds_its_migration_whatever_its_origin(registry: Registry) -> None:
    made = registry.begin(registry.proposed("shop", ONE))
    assert registry.find("shop", TWO) == made
    assert registry.find("shop", None) == made
    assert registry.find("", ONE) is None
    assert registry.find("Shop", ONE) is None


def test_two_that_begin_the_same_one_at_once_get_the_same_entry(registry: Registry) -> None:
    first, second = registry.proposed("", ONE), registry.proposed("", ONE)
    assert registry.begin(first) == registry.begin(second)
    assert len(registry.all()) == 1


def test_a_key_that_was_given_to_another_meanwhile_is_not_taken(registry: Registry) -> None:
    late = registry.proposed("", ONE)
    made = registry.begin(registry.proposed("", ONE))
    registry.rebase(made.key, TWO)
    with pytest.raises(CheckpointError, match="at the same moment") as caught:
        registry.begin(late)
    assert "again" in caught.value.next_step
    again = registry.begin(registry.proposed("", ONE))
    assert again.key not in (made.key, late.key)


def test_a_migration_whose_database_was_replaced_keeps_its_key(registry: Registry) -> None:
    made = registry.begin(registry.proposed("", ONE))
    assert registry.rebase(made.key, ELSEWHERE).key == made.key
    assert registry.find("", ONE) is None
    found = registry.find("", ELSEWHERE)
    assert found is not None
    assert (found.key, found.created_at) == (made.key, made.created_at)


def test_no_database_gets_two_migrations_without_a_name(registry: Registry) -> None:
    one = registry.begin(registry.proposed("", ONE))
    registry.begin(registry.proposed("", TWO))
    with pytest.raises(CheckpointError, match="of its own"):
        registry.rebase(one.key, TWO)
    assert registry.get(one.key) == one


def test_keys_are_the_same_on_every_machine_and_never_end() -> None:
    assert list(islice(keys_of("", ONE), 3)) == list(islice(keys_of("", ONE), 3))
    assert len(set(islice(keys_of("", ONE), 50)) | set(islice(keys_of("shop", ONE), 50))) == 100
    assert next(keys_of("shop", ONE)) == next(keys_of("shop", TWO))


def test_a_state_of_before_there_were_migrations_is_refused_by_name(
    registry: Registry, documents: FakeDocuments
) -> None:
    documents.put("load:public.t", {"run": {"version": 1}})
    with pytest.raises(CheckpointError, match=r"public\.t .* older gridferry") as caught:
        registry.find("", ONE)
    assert "load again" in caught.value.next_step


@pytest.mark.parametrize("document", [{"version": 9}, {"version": 1}, {"version": 1, "name": "", "origin": {"x": 1}}])
def test_an_entry_of_another_version_or_a_broken_one_is_refused(
    registry: Registry, documents: FakeDocuments, document: dict[str, object]
) -> None:
    documents.put("migrations", {"abc": document})
    with pytest.raises(CheckpointError, match="the migration abc"):
        registry.all()
