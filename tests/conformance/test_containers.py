"""Making, finding, altering, listing and dropping containers, and their indexes."""

from __future__ import annotations

import pytest
from tests.conformance.conftest import Place
from tests.conformance.tables import batch, collection, columns, keys, plain, rows_of, series

from gridferry.errors import ContainerMissing, LocalProtocolError, SchemaConflict, StatementError
from gridferry.griddb import ColumnSpec, ContainerKind, ContainerSchema, GridType, Store
from gridferry.griddb.wire.schema_image import IndexSpec
from gridferry.griddb.wire.statement import MAX_COLUMNS

SCHEMAS = {
    "series": series("ts TIMESTAMP(3)!, v DOUBLE"),
    "collection": collection("k STRING!, v DOUBLE"),
    "keyless": collection("a STRING, v DOUBLE", key=0),
    "composite": collection("k STRING!, ts TIMESTAMP(6)!, v DOUBLE!", key=2),
    "time key": collection("ts TIMESTAMP(3)!, v DOUBLE"),
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_what_is_made_can_be_opened(place: Place, schema: ContainerSchema) -> None:
    made = place.make(schema)
    found = place.store.open_container(made.name)
    assert found is not None
    assert found.handle == made.handle
    assert found.schema == schema


def test_a_container_that_is_not_there(place: Place) -> None:
    assert place.store.open_container(place.name()) is None


def test_the_same_schema_again_is_the_same_container(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    made.put(batch(made.schema, [("a", 1.0)]))
    again = place.store.create_container(made.name, made.schema)
    assert again.handle == made.handle
    assert again.count() == 1


def test_many_are_opened_where_they_stand_and_made_where_they_do_not(place: Place) -> None:
    schema = SCHEMAS["collection"]
    standing = place.make(schema)
    standing.put(batch(schema, [("a", 1.0)]))
    fresh, again = place.names(2)
    made = place.store.create_containers([fresh, standing.name.upper(), again, fresh], schema)
    assert [c.name for c in made] == [fresh, standing.name, again, fresh]
    assert made[1].handle == standing.handle
    assert made[0].handle == made[3].handle
    assert [c.count() for c in made] == [0, 1, 0, 0]
    assert all(c.schema is schema for c in made)


def test_one_with_other_columns_is_not_opened_for_them(place: Place) -> None:
    standing = place.make(SCHEMAS["collection"])
    with pytest.raises(SchemaConflict, match=standing.name):
        place.store.create_containers([place.name("new"), standing.name], collection("k STRING!, v FLOAT"))


@pytest.mark.parametrize(
    "other",
    [
        collection("k STRING!, v FLOAT"),
        collection("k STRING!, v DOUBLE, w DOUBLE"),
        collection("k STRING!"),
        collection("k STRING!, v DOUBLE!"),
        collection("v DOUBLE, k STRING", key=0),
    ],
)
def test_another_schema_is_a_conflict(place: Place, other: ContainerSchema) -> None:
    made = place.make(SCHEMAS["collection"])
    with pytest.raises(SchemaConflict) as caught:
        place.store.create_container(made.name, other)
    assert caught.value.code in (60016, 60149)
    assert made.name in str(caught.value)
    assert place.store.open_container(made.name) is not None


def test_another_kind_is_a_conflict(place: Place) -> None:
    made = place.make(SCHEMAS["series"])
    with pytest.raises(SchemaConflict) as caught:
        place.store.create_container(made.name, SCHEMAS["time key"])
    assert caught.value.code == 60026


def test_names_ignore_case_and_keep_it(place: Place) -> None:
    name = place.name("MixedCase")
    made = place.store.create_container(name, SCHEMAS["collection"])
    again = place.store.create_container(name.upper(), SCHEMAS["collection"])
    assert again.handle == made.handle
    found = place.store.open_container(name.lower())
    assert found is not None
    assert found.name == name


def test_column_names_ignore_case(place: Place) -> None:
    made = place.make(collection("K LONG!, Value DOUBLE"))
    made.put(batch(made.schema, [(1, 2.0)]))
    assert rows_of(made.query("select * where vALUE = 2.0")) == [(1, 2.0)]
    assert made.schema.names == ("K", "Value")


def test_every_character_that_a_name_may_have(place: Place) -> None:
    name = place.name("aZ09_.-/=")
    made = place.store.create_container(name, SCHEMAS["collection"])
    assert made.name == name
    assert name in place.store.container_names()


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a#b", "ä", "a@b@c", "@x", "x@"])
def test_a_name_that_cannot_be_is_refused_before_it_is_sent(store: Store, name: str) -> None:
    with pytest.raises(LocalProtocolError, match="name"):
        store.create_container(name, SCHEMAS["collection"])


@pytest.mark.parametrize("affinity", ["grp1", "77", "Grp", "007"])
def test_affinity_is_a_part_of_the_name(place: Place, affinity: str) -> None:
    bare = place.name()
    place.used.append(f"{bare}@{affinity}")
    made = place.store.create_container(f"{bare}@{affinity}", SCHEMAS["collection"])
    made.put(batch(made.schema, [("a", 1.0)]))
    assert made.name == f"{bare}@{affinity}"
    found = place.store.open_container(f"{bare}@{affinity}")
    assert found is not None
    assert found.count() == 1
    assert place.store.open_container(bare) is None
    assert f"{bare}@{affinity}" in place.store.container_names()


def test_containers_of_one_affinity_share_a_partition(place: Place) -> None:
    names = [f"{place.name(f'c{i}')}@shared" for i in range(3)]
    place.used += names
    made = place.store.create_containers(names, SCHEMAS["collection"])
    assert len({c.handle.partition for c in made}) == 1


def test_add_columns(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    made.put(batch(made.schema, [("a", 1.0)]))
    made.add_columns(columns("n LONG, s STRING, tags STRING[]"))
    assert made.schema.names == ("k", "v", "n", "s", "tags")
    made.put(batch(made.schema, [("b", 2.0, 3, "x", ["y"])]))
    assert rows_of(made.query("select * order by k")) == [("a", 1.0, None, None, None), ("b", 2.0, 3, "x", ["y"])]


def test_add_columns_keeps_what_another_client_added(place: Place) -> None:
    ours = place.make(SCHEMAS["collection"])
    theirs = place.store.open_container(ours.name)
    assert theirs is not None
    theirs.add_columns(columns("theirs LONG"))
    theirs.put(batch(theirs.schema, [("a", 1.0, 7)]))
    ours.add_columns(columns("ours LONG"))
    assert ours.schema.names == ("k", "v", "theirs", "ours")
    assert rows_of(ours.scan()) == [("a", 1.0, 7, None)]


def test_add_a_column_that_is_there(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    with pytest.raises(LocalProtocolError, match='"v"'):
        made.add_columns(columns("V LONG"))


def test_modify_removes_columns(place: Place) -> None:
    made = place.make(collection("k STRING!, v DOUBLE, w LONG"))
    made.put(batch(made.schema, [("a", 1.0, 2)]))
    altered = place.store.create_container(made.name, collection("k STRING!, w LONG"), modify=True)
    assert rows_of(altered.scan()) == [("a", 2)]
    assert altered.handle.version > made.handle.version


def test_modify_to_not_null_is_refused(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    with pytest.raises(StatementError) as caught:
        place.store.create_container(made.name, collection("k STRING!, v DOUBLE!"), modify=True)
    assert caught.value.code == 60149


def test_names_are_listed_once_and_sorted(place: Place) -> None:
    names = place.names(30)
    place.store.create_containers(names, SCHEMAS["series"])
    found = [n for n in place.store.container_names() if n.startswith(place.prefix)]
    assert found == sorted(names)


def test_drop(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    place.store.drop_container(made.name)
    assert place.store.open_container(made.name) is None
    assert made.name not in place.store.container_names()
    place.store.drop_container(made.name)


def test_many_at_once(place: Place) -> None:
    names = place.names(500)
    made = place.store.create_containers(names, SCHEMAS["collection"])
    assert [c.name for c in made] == names
    missing = place.name("missing")
    found = place.store.open_containers([*names, missing])
    assert found[missing] is None
    assert [found[n].handle for n in names] == [c.handle for c in made]  # type: ignore[union-attr]
    place.store.drop_containers(names)
    assert not any(place.store.open_containers(names).values())


def test_no_containers_at_all(store: Store) -> None:
    assert store.create_containers([], SCHEMAS["collection"]) == []
    assert store.open_containers([]) == {}
    store.drop_containers([])
    assert store.flush([]) == 0


def test_a_dropped_container_is_told_as_missing(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    place.store.drop_container(made.name)
    with pytest.raises(ContainerMissing, match=made.name):
        made.put(batch(made.schema, [("a", 1.0)]))
    with pytest.raises(ContainerMissing, match=made.name):
        made.count()
    with pytest.raises(ContainerMissing, match=made.name):
        made.get(keys(made.schema, [("a",)]))
    with pytest.raises(ContainerMissing, match=made.name):
        made.delete(keys(made.schema, [("a",)]))


def test_a_container_made_anew_under_an_open_handle_is_found(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    place.store.drop_container(made.name)
    place.store.create_container(made.name, made.schema)
    made.put(batch(made.schema, [("a", 1.0)]))
    assert made.count() == 1


def test_a_schema_changed_under_an_open_handle_is_a_conflict_once(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    other = place.store.open_container(made.name)
    assert other is not None
    other.add_columns(columns("w LONG"))
    with pytest.raises(SchemaConflict, match="changed while it was in use"):
        made.put(batch(made.schema, [("a", 1.0)]))
    assert made.schema == other.schema
    made.put(batch(made.schema, [("a", 1.0, 2)]))
    assert rows_of(made.scan()) == [("a", 1.0, 2)]


def test_a_version_that_moved_on_and_came_back_is_refreshed(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    other = place.store.open_container(made.name)
    assert other is not None
    other.add_columns(columns("w LONG"))
    place.store.create_container(made.name, made.schema, modify=True)
    made.put(batch(made.schema, [("a", 1.0)]))
    assert made.count() == 1
    assert plain(made.schema, made.get(keys(made.schema, [("a",)]))) == [("a", 1.0)]


def test_get_after_a_schema_change_is_a_conflict_too(place: Place) -> None:
    made = place.make(SCHEMAS["collection"])
    made.put(batch(made.schema, [("a", 1.0)]))
    other = place.store.open_container(made.name)
    assert other is not None
    other.add_columns(columns("w LONG"))
    with pytest.raises(SchemaConflict):
        made.get(keys(made.schema, [("a",)]))
    assert plain(made.schema, made.get(keys(made.schema, [("a",)]))) == [("a", 1.0, None)]


def test_indexes(place: Place) -> None:
    made = place.make(collection("k STRING!, v DOUBLE, w LONG"))
    before = set(made.indexes())
    made.create_index(["V"])
    made.create_index(["v"])
    made.create_index(["w"], name="by_w")
    made.create_index(["v", "w"], name="both")
    new = {(i.columns, i.name) for i in set(made.indexes()) - before}
    assert new == {((1,), ""), ((2,), "by_w"), ((1, 2), "both")}
    made.drop_index(["w"])
    made.drop_index(["v", "w"], name="both")
    assert {i.columns for i in set(made.indexes()) - before} == {(1,)}
    made.drop_index(["w"])


def test_an_index_that_is_dropped_by_its_name(place: Place) -> None:
    """As GridDB's own client may ask, with no columns."""
    made = place.make(collection("k STRING!, v DOUBLE, w LONG"))
    made.create_index(["v"])
    made.create_index(["w"], name="by_w")
    made.drop_index([], name="by_w")
    assert {i.columns for i in made.indexes()} - {(0,)} == {(1,)}


def test_an_index_that_cannot_be(place: Place) -> None:
    made = place.make(collection("k STRING!, b BLOB, a LONG[]"))
    for column in ("b", "a"):
        with pytest.raises(StatementError) as caught:
            made.create_index([column])
        assert caught.value.code == 1007
    with pytest.raises(LocalProtocolError, match="no column"):
        made.create_index(["nothing"])


def test_indexes_of_a_container_without_any(place: Place) -> None:
    made = place.make(SCHEMAS["keyless"])
    assert made.indexes() == ()
    made.create_index(["a"])
    assert made.indexes() == (IndexSpec((0,), "", 0),)


def test_as_many_columns_as_there_can_be(place: Place) -> None:
    wide = ContainerSchema(
        ContainerKind.COLLECTION,
        (
            ColumnSpec("k", GridType.INTEGER, nullable=False),
            *(ColumnSpec(f"c{i}", GridType.INTEGER) for i in range(MAX_COLUMNS - 1)),
        ),
    )
    made = place.make(wide)
    rows = [(n, *(i if i % 3 else None for i in range(MAX_COLUMNS - 1))) for n in range(3)]
    made.put(batch(wide, rows))
    assert rows_of(made.scan()) == rows


def test_one_column_too_many(place: Place) -> None:
    wide = ContainerSchema(
        ContainerKind.COLLECTION, tuple(ColumnSpec(f"c{i}", GridType.BOOL) for i in range(MAX_COLUMNS + 1)), 0
    )
    with pytest.raises(LocalProtocolError, match="1024"):
        place.make(wide)


def test_a_long_name(place: Place) -> None:
    name = place.name("n" * 1000)
    assert place.store.create_container(name, SCHEMAS["collection"]).name == name
