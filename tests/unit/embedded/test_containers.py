"""Containers: names, schemas and their changes, indexes, databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridferry.embedded.catalog import Container, Index
from gridferry.embedded.containers import (
    drop_container,
    drop_database,
    put_container,
    put_database,
)
from gridferry.embedded.database import Database
from gridferry.embedded.indexes import create_index, drop_index
from gridferry.embedded.refusal import Refusal
from gridferry.embedded.row_statements import put_rows
from gridferry.griddb.schema import ColumnSpec, ContainerKind, ContainerSchema, GridType

Make = Callable[..., Any]


def schema_of(*columns: ColumnSpec, kind: ContainerKind = ContainerKind.COLLECTION) -> ContainerSchema:
    return ContainerSchema(kind, columns)


K = ColumnSpec("k", GridType.LONG, nullable=False)
V = ColumnSpec("v", GridType.DOUBLE)


def test_names_ignore_case_and_keep_it(db: Database) -> None:
    made = put_container(db, "DeVice", schema_of(K, V), partition=1)
    assert (
        put_container(db, "dEVICE", schema_of(ColumnSpec("K", GridType.LONG, nullable=False), V), partition=1) is made
    )
    assert made.name == "DeVice"
    assert db.catalog.find(0, 2, "device") is None


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a#b", "ä", "a@", "@a", "a@b@c", "x" * 16385, "a'b", 'a"b', "a\0"])
def test_names_that_are_refused(db: Database, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        put_container(db, name, schema_of(K), partition=0)
    assert refused.value.code == 1008


def test_ids_count_by_partition_and_are_never_used_again(db: Database) -> None:
    first = put_container(db, "a", schema_of(K), partition=0)
    assert (first.id, put_container(db, "b", schema_of(K), partition=0).id) == (0, 1)
    assert put_container(db, "c", schema_of(K), partition=5).id == 0
    drop_container(db, "A", partition=0)
    drop_container(db, "A", partition=0)
    assert put_container(db, "a", schema_of(K), partition=0).id == 2
    with pytest.raises(Refusal) as refused:
        db.catalog.get(0, 0)
    assert refused.value.code == 60157


CHANGES = {
    "not modifiable": (schema_of(K), False, 60016),
    "another kind": (
        schema_of(ColumnSpec("k", GridType.TIMESTAMP_MS, nullable=False), kind=ContainerKind.TIME_SERIES),
        True,
        60026,
    ),
    "another type": (schema_of(K, ColumnSpec("v", GridType.LONG)), True, 60149),
    "not null": (schema_of(K, ColumnSpec("v", GridType.DOUBLE, nullable=False)), True, 60149),
    "another key": (schema_of(ColumnSpec("x", GridType.LONG, nullable=False), V), True, 60149),
    "a column name": (schema_of(K, V, ColumnSpec("a b", GridType.LONG)), True, 1008),
    "too many columns": (schema_of(K, *(ColumnSpec(f"c{n}", GridType.LONG) for n in range(1024))), True, 60015),
}


@pytest.mark.parametrize(("schema", "modifiable", "code"), CHANGES.values(), ids=CHANGES.keys())
def test_changes_that_are_refused(db: Database, schema: ContainerSchema, modifiable: bool, code: int) -> None:
    known = put_container(db, "a", schema_of(K, V), partition=0)
    with pytest.raises(Refusal) as refused:
        put_container(db, "a", schema, partition=0, modifiable=modifiable)
    assert refused.value.code == code
    assert (known.schema, known.version) == (schema_of(K, V), 0)


def test_columns_are_added_and_removed(db: Database, batch: Make, ask: Make) -> None:
    old = schema_of(K, V, ColumnSpec("w", GridType.LONG))
    container = put_container(db, "a", old, partition=0)
    create_index(db, container, Index("iv", (1,), 0))
    create_index(db, container, Index("iw", (2,), 0))
    put_rows(db, container, batch(old, (2, 1.5, 7), (1, None, 8)))
    new = schema_of(
        K,
        ColumnSpec("w", GridType.LONG),
        ColumnSpec("t", GridType.STRING, nullable=False),
        ColumnSpec("x", GridType.STRING),
        ColumnSpec("y", GridType.INTEGER, array=True, nullable=False),
        ColumnSpec("z", GridType.BLOB, nullable=False),
        ColumnSpec("b", GridType.BOOL, nullable=False),
        ColumnSpec("u", GridType.TIMESTAMP_US, nullable=False),
    )
    assert put_container(db, "A", new, partition=0, modifiable=True) is container
    assert (container.version, container.schema, container.indexes) == (
        1,
        new,
        (Index("", (0,), 0), Index("iw", (1,), 0)),
    )
    assert ask(container, "select *") == [(2, 7, "", None, [], b"", False, 0), (1, 8, "", None, [], b"", False, 0)]
    put_rows(db, container, batch(new, (2, 9, "t", "x", [1], b"z", True, 5)))
    assert [row[:2] for row in ask(container, "select *")] == [(2, 9), (1, 8)]


def test_a_column_replaced_by_one_of_its_type_is_empty(db: Database, batch: Make, ask: Make) -> None:
    container = put_container(db, "a", schema_of(K, V), partition=0)
    put_rows(db, container, batch(schema_of(K, V), (1, 1.5)))
    put_container(db, "a", schema_of(K, ColumnSpec("w", GridType.DOUBLE)), partition=0, modifiable=True)
    assert ask(container, "select *") == [(1, None)]


def test_dropped_rows_do_not_come_back(db: Database, series: Container, batch: Make, ask: Make) -> None:
    put_rows(db, series, batch(series.schema, (1, 1.0, "")))
    db.settle()
    drop_container(db, "series", partition=1)
    again = put_container(db, "Series", series.schema, partition=1)
    assert ask(again, "select count(*)")[1] == 0
    db.settle()
    assert db.duck.select(f"SELECT count(*) FROM {_table(again)}").column(0)[0].as_py() == 0


def _table(container: Container) -> str:
    from gridferry.embedded.shape import shape_of

    return shape_of(container.schema).table


@pytest.mark.parametrize("index", [Index("other", (1,), 0), Index("one", (2,), 0), Index("", (1, 1), 0)])
def test_an_index_that_contradicts_another_is_refused(db: Database, series: Container, index: Index) -> None:
    create_index(db, series, Index("one", (1,), 0))
    with pytest.raises(Refusal) as caught:
        create_index(db, series, index)
    assert caught.value.code == 1007
    assert series.indexes == (Index("one", (1,), 0),)


@pytest.mark.parametrize("columns", [(0,), (0, 1)])
def test_the_key_of_a_series_has_no_index(db: Database, series: Container, columns: tuple[int, ...]) -> None:
    with pytest.raises(Refusal) as caught:
        create_index(db, series, Index("", columns, 0))
    assert caught.value.code == 60081


def test_a_collection_lists_an_index_on_its_row_key(db: Database, keyed: Container, keyless: Container) -> None:
    assert keyed.indexes == (Index("", (0, 1), 0),)
    assert keyless.indexes == ()
    drop_index(db, keyed, Index("", (0, 1), 0), any_name=True, any_type=True)
    assert len(keyed.indexes) == 0


def test_a_geometry_has_a_spatial_index_in_a_collection_only(db: Database) -> None:
    g = ColumnSpec("g", GridType.GEOMETRY)
    place = put_container(db, "places", ContainerSchema(ContainerKind.COLLECTION, (K, g)), partition=0)
    time = ColumnSpec("ts", GridType.TIMESTAMP_MS, nullable=False)
    track = put_container(db, "track", ContainerSchema(ContainerKind.TIME_SERIES, (time, g)), partition=0)
    create_index(db, place, Index("", (1,), 0xFF))
    assert place.indexes[-1] == Index("", (1,), 2)
    drop_index(db, place, Index("", (1,), 0xFF), any_name=False, any_type=False)
    assert place.indexes == (Index("", (0,), 0),)
    for container, kind in ((place, 0), (track, 0xFF), (track, 2)):
        with pytest.raises(Refusal) as caught:
            create_index(db, container, Index("again", (1,), kind))
        assert caught.value.code == 1007


def test_an_index_of_type_hash_is_refused_as_by_griddb_5(db: Database, series: Container) -> None:
    with pytest.raises(Refusal) as caught:
        create_index(db, series, Index("hashed", (1,), 1))
    assert caught.value.code == 1007
    assert series.indexes == ()


def test_an_index_is_dropped_by_its_name_alone(db: Database, series: Container) -> None:
    for index in (Index("one", (1,), 0), Index("both", (1, 2), 0)):
        create_index(db, series, index)
    drop_index(db, series, Index("BOTH", (), 0), any_name=False, any_type=True)
    assert series.indexes == (Index("one", (1,), 0),)


def test_indexes_are_listed(db: Database, series: Container) -> None:
    for index in (Index("one", (1,), 0), Index("ONE", (1,), 0), Index("", (1,), 0), Index("", (1, 2), 0)):
        create_index(db, series, index)
    assert series.indexes == (Index("one", (1,), 0), Index("", (1, 2), 0))
    drop_index(db, series, Index("no", (1,), 0), any_name=False, any_type=True)
    assert len(series.indexes) == 2
    drop_index(db, series, Index("", (1,), 0), any_name=True, any_type=True)
    assert list(series.indexes) == [Index("", (1, 2), 0)]
    with pytest.raises(Refusal) as refused:
        create_index(db, series, Index("x", (3,), 0))
    assert refused.value.code == 60015


def test_databases(db: Database) -> None:
    assert put_database(db, "first") == 100
    assert put_database(db, "second") == 101
    assert put_database(db, "First") == 100
    for name, code in (("public", 10081), ("a b", 1008)):
        with pytest.raises(Refusal) as refused:
            put_database(db, name)
        assert refused.value.code == code
    made = put_container(db, "a", schema_of(K), database_id=100, partition=0)
    assert db.catalog.find(0, 0, "a") is None
    with pytest.raises(Refusal) as refused:
        drop_database(db, "first", connected_to="second")
    assert refused.value.code == 10081
    drop_database(db, "first", connected_to="first")
    assert made not in db.catalog.containers
    assert put_database(db, "third") == 102


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path, flush_interval_s=None)
    put_database(database, "d")
    put_container(database, "gone", schema_of(K), partition=9)
    drop_container(database, "gone", partition=9)
    made = put_container(database, "Made@grp", schema_of(K, V), database_id=100, partition=9, affinity="aff")
    create_index(database, made, Index("i", (1,), 0))
    definition = made.definition
    database.close()
    database = Database(tmp_path, flush_interval_s=None)
    found = database.catalog.find(100, 9, "mADE@GRP")
    assert found is not None
    assert (found.id, found.name, found.definition) == (1, "Made@grp", definition)
    assert put_container(database, "next", schema_of(K), partition=9).id == 2
    assert database.catalog.databases == {"public": 0, "d": 100}
    assert put_database(database, "e") == 101
    database.close()
