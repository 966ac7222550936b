"""Which column is which, of those that the log describes by their names of then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.engine.test_added_columns import PLANNED, TYPES

from gridferry.engine.sync.cdc.described import former_of, numbered_columns
from gridferry.model.change import ChangedColumn, ChangedRelation, ReplicaIdentity
from gridferry.model.table import Column, PgType

TEXT = PgType("text", "text")


def relation(*names: str) -> ChangedRelation:
    columns = tuple(ChangedColumn(name, 25, -1, name == "k") for name in names)
    return ChangedRelation(1, "public", "t", ReplicaIdentity.DEFAULT, columns)


def numbers(names: str, catalog: dict[str, int]) -> dict[str, int]:
    """The numbers of the described columns, a letter each."""
    columns = [Column(name, TYPES.get(name, TEXT), number=number) for name, number in catalog.items()]
    types = {name: TYPES.get(name, TEXT) for name in names}
    return {c.name: c.number for c in numbered_columns(PLANNED, relation(*names), types=types, catalog=columns)}


@pytest.mark.parametrize(
    ("names", "catalog", "found"),
    [
        ("kab", {"k": 1, "a": 2, "b": 3}, {"k": 1, "a": 2, "b": 3}),
        ("kabe", {"k": 1, "a": 2, "b": 3, "e": 5}, {"k": 1, "a": 2, "b": 3, "e": 0}),  # an added one needs none
        # The log is behind the catalog, in which the rest has come already.
        ("kab", {"k": 1, "x": 2, "b": 3, "e": 5}, {"k": 1, "a": 2, "b": 3}),
        ("kxb", {"k": 1, "y": 2, "b": 3, "e": 5}, {"k": 1, "x": 2, "b": 3}),
        # Two names were swapped.
        ("kba", {"k": 1, "b": 2, "a": 3}, {"k": 1, "b": 2, "a": 3}),
        # One was dropped, at once or later.
        ("ka", {"k": 1, "a": 2}, {"k": 1, "a": 2}),
        ("kae", {"k": 1, "e": 5}, {"k": 1, "a": 2, "e": 5}),
        # Renamed, then dropped, while another came: nobody can tell.
        ("kxb", {"k": 1, "b": 3, "e": 5}, {"k": 1, "x": 0, "b": 3}),
    ],
)
def test_columns_are_numbered_where_it_can_be_told(names: str, catalog: dict[str, int], found: dict[str, int]) -> None:
    assert numbers(names, catalog) == found


def test_a_description_from_before_is_known_with_the_names_of_now() -> None:
    renamed = replace(
        PLANNED,
        columns=tuple(
            replace(c, source="z") if c.source == "a" else replace(c, gone=c.source == "b") for c in PLANNED.columns
        ),
    )
    (former,) = former_of(relation("k", "a", "b", "other"), PLANNED, renamed)
    assert former.now == ("k", "z", "", "other")
    again = replace(
        renamed,
        former=(former,),
        columns=tuple(replace(c, source="y") if c.source == "z" else c for c in renamed.columns),
    )
    older, newer = former_of(relation("k", "z", "other"), replace(renamed, former=(former,)), again)
    assert (older.now, newer.now) == (("k", "y", "", "other"), ("k", "y", "other"))
