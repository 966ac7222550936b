"""Many containers at once: multi-put, multi-get, multi-query, the bulk writer."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conformance.conftest import Place
from tests.conformance.tables import batch, collection, columns, keys, plain, rows_of, series

from gridferry.errors import DataError, LocalProtocolError, LockConflict, SchemaChanged, SchemaConflict, StatementError
from gridferry.griddb import Container, ContainerSchema
from gridferry.griddb.handle import Handle

SERIES = series("ts TIMESTAMP(3)!, v DOUBLE, s STRING")
FIXED = series("ts TIMESTAMP(3)!, v DOUBLE")
OTHER = collection("k STRING!, v DOUBLE")
PAIR = collection("a STRING!, b LONG!, v DOUBLE", 2)


def _fleet(place: Place, count: int, schema: ContainerSchema = SERIES) -> list[Container]:
    return place.store.create_containers(place.names(count), schema)


def _neighbours(place: Place, count: int) -> list[Container]:
    """Containers of one partition: they share a message."""
    names = [f"{place.prefix}n{i}@1" for i in range(count)]
    place.used += names
    return place.store.create_containers(names, SERIES)


def test_multi_put_into_500(place: Place) -> None:
    made = _fleet(place, 500)
    puts = [(c, batch(SERIES, [(t, t / 2, f"{i}") for t in range(i % 4)])) for i, c in enumerate(made)]
    place.store.multi_put(puts)
    assert place.store.counts(made) == [i % 4 for i in range(500)]
    assert rows_of(made[7].scan()) == [(0, 0.0, "7"), (1, 0.5, "7"), (2, 1.0, "7")]


def test_multi_put_of_several_schemas(place: Place) -> None:
    a = place.make(SERIES, "a")
    b = place.make(OTHER, "b")
    c = place.make(FIXED, "c")
    place.store.multi_put(
        [
            (a, batch(SERIES, [(1, 1.0, "x")])),
            (b, batch(OTHER, [("k", 2.0)])),
            (c, batch(FIXED, [(3, 3.0)])),
            (a, batch(SERIES, [(2, None, None), (1, 1.5, "y")])),
        ]
    )
    assert rows_of(a.scan()) == [(1, 1.5, "y"), (2, None, None)]
    assert rows_of(b.scan()) == [("k", 2.0)]
    assert rows_of(c.scan()) == [(3, 3.0)]


def test_multi_put_of_nothing(place: Place) -> None:
    made = place.make(SERIES)
    place.store.multi_put([])
    place.store.multi_put([(made, batch(SERIES, []))])
    assert made.count() == 0


def test_multi_put_in_small_groups(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridferry.griddb.store.GROUP_BYTES", 1000)
    made = _fleet(place, 20)
    place.store.multi_put([(c, batch(SERIES, [(t, 0.0, "x" * 100) for t in range(5)])) for c in made])
    assert place.store.counts(made) == [5] * 20


def test_multi_put_of_a_batch_that_does_not_fit(place: Place) -> None:
    made = place.make(SERIES)
    with pytest.raises(LocalProtocolError, match=made.name):
        place.store.multi_put([(made, pa.record_batch({"ts": ["x"], "v": [1.0], "s": ["y"]}))])


def test_multi_query_over_1000(place: Place) -> None:
    made = _fleet(place, 1000, FIXED)
    place.store.multi_put([(c, batch(FIXED, [(i, float(i))])) for i, c in enumerate(made) if i % 2])
    results = place.store.multi_query([(c, "select max(ts)") for c in made])
    assert [r.value for r in results] == [i if i % 2 else None for i in range(1000)]


def test_multi_query_of_rows_and_values(place: Place) -> None:
    made = _fleet(place, 3)
    place.store.multi_put([(c, batch(SERIES, [(t, 0.5, "x") for t in range(i)])) for i, c in enumerate(made)])
    rows, value, none = place.store.multi_query(
        [(made[2], "select * order by ts desc"), (made[1], "select count(*)"), (made[0].handle, "select *")]
    )
    assert rows_of(rows) == [(1, 0.5, "x"), (0, 0.5, "x")]
    assert value.value == 1
    assert rows_of(none) == []
    assert place.store.multi_query([]) == []


def test_multi_values(place: Place) -> None:
    made = _fleet(place, 4)
    place.store.multi_put([(c, batch(SERIES, [(t, t / 2, "x") for t in range(i)])) for i, c in enumerate(made)])
    queries = [(c, f"select {what}") for c in made for what in ("count(*)", "max(ts)", "sum(v)", "min(ts)")]
    one_by_one = [result.value for result in place.store.multi_query(queries)]
    assert place.store.multi_values(queries) == one_by_one
    assert one_by_one[:4] == [0, None, None, None]
    assert one_by_one[-4:] == [3, 2, 1.5, 0]
    assert place.store.multi_values([]) == []
    with pytest.raises(LocalProtocolError, match="gave rows"):
        place.store.multi_values([(made[0], "select count(*)"), (made[1], "select *")])


def test_a_wrong_query_among_many(place: Place) -> None:
    made = _fleet(place, 3)
    with pytest.raises(StatementError) as caught:
        place.store.multi_query([(made[0], "select *"), (made[1], "select nonsense"), (made[2], "select *")])
    assert caught.value.code == 151002


def test_multi_query_finds_what_was_made_anew(place: Place) -> None:
    made = _fleet(place, 3)
    place.store.drop_container(made[1].name)
    place.store.create_container(made[1].name, SERIES)
    assert place.store.counts(made) == [0, 0, 0]


def test_multi_put_finds_what_was_made_anew(place: Place) -> None:
    made = _fleet(place, 3)
    place.store.drop_container(made[1].name)
    place.store.create_container(made[1].name, SERIES)
    place.store.multi_put([(c, batch(SERIES, [(1, 1.0, "a")])) for c in made])
    assert place.store.counts(made) == [1, 1, 1]


@pytest.mark.parametrize(
    ("message_bytes", "window_bytes"), [(1 << 20, 1 << 24), (2000, 8000), (100, 100), (1, 1)], ids=str
)
def test_runs_split_over_messages_and_windows(place: Place, message_bytes: int, window_bytes: int) -> None:
    made = _fleet(place, 7)
    runs = [0, 40, 40, 41, 90, 150, 199, 200]
    rows = [(t, t / 4, "x" * (t % 90)) for t in range(200)]
    with place.store.writer(message_bytes=message_bytes, window_bytes=window_bytes) as writer:
        writer.put(SERIES, batch(SERIES, rows), [c.handle for c in made], runs)
        writer.drain()
        assert writer.rows == 200
        assert writer.octets > 200 * 25
        assert writer.flush_log() == len({c.handle.partition for c in made} - {made[1].handle.partition})
    for container, first, last in zip(made, runs[:-1], runs[1:], strict=True):
        assert rows_of(container.scan()) == rows[first:last]


def test_one_container_with_several_runs(place: Place) -> None:
    made = place.make(SERIES)
    rows = [(t, 0.0, "a") for t in range(10)]
    with place.store.writer() as writer:
        writer.put(SERIES, batch(SERIES, rows), [made.handle, made.handle], np.array([0, 4, 10]))
        writer.put(SERIES, batch(SERIES, [(3, 1.0, "b")]), [made.handle], [0, 1])
    assert rows_of(made.scan()) == [*rows[:3], (3, 1.0, "b"), *rows[4:]]


def test_rows_of_uneven_size_keep_within_a_message(place: Place) -> None:
    schema = collection("k INTEGER!, b BLOB")
    made = place.make(schema)
    rows = [(i, b"x" * (200_000 if i > 90 else 1)) for i in range(100)]
    with place.store.writer(message_bytes=300_000, window_bytes=400_000) as writer:
        writer.put(schema, batch(schema, rows), [made.handle], [0, 100])
    assert rows_of(made.scan()) == rows


@pytest.mark.parametrize("runs", [[0, 2], [1, 3], [0, 2, 1, 3], [0, 4]])
def test_runs_that_do_not_cover_the_batch(place: Place, runs: list[int]) -> None:
    made = place.make(FIXED)
    with place.store.writer() as writer, pytest.raises(LocalProtocolError, match="runs"):
        writer.put(FIXED, batch(FIXED, [(1, 1.0), (2, 2.0), (3, 3.0)]), [made.handle] * (len(runs) - 1), runs)
    assert made.count() == 0


def test_as_many_handles_as_runs(place: Place) -> None:
    made = place.make(FIXED)
    with place.store.writer() as writer, pytest.raises(LocalProtocolError, match="2 containers"):
        writer.put(FIXED, batch(FIXED, [(1, 1.0)]), [made.handle] * 2, [0, 1])


def test_a_handle_of_another_schema(place: Place) -> None:
    made = place.make(OTHER)
    with place.store.writer() as writer, pytest.raises(LocalProtocolError, match=made.name):
        writer.put(FIXED, batch(FIXED, [(1, 1.0)]), [made.handle], [0, 1])
    assert made.count() == 0


def test_a_container_without_a_key(place: Place) -> None:
    schema = collection("v DOUBLE", key=0)
    made = place.make(schema)
    with place.store.writer() as writer, pytest.raises(LocalProtocolError, match="row key"):
        writer.put(schema, batch(schema, [(1.0,)]), [made.handle], [0, 1])


def test_a_bad_value_is_found_before_anything_is_sent(place: Place) -> None:
    made = place.make(SERIES)
    with place.store.writer() as writer:
        with pytest.raises(DataError):
            writer.put(SERIES, batch(SERIES, [(1, 1.0, "a"), (2, 1.0, "x" * 40_000)]), [made.handle], [0, 2])
        writer.drain()
    assert made.count() == 0


@pytest.mark.parametrize("fleet", [1, 4])
def test_a_schema_that_changed_under_the_writer(place: Place, fleet: int) -> None:
    made = _neighbours(place, fleet)
    other = place.store.open_container(made[0].name)
    assert other is not None
    other.add_columns(columns("w LONG"))
    rows = batch(SERIES, [(t, 0.5, "x") for t in range(fleet)])
    with pytest.raises(SchemaChanged), place.store.writer() as writer:
        writer.put(SERIES, rows, [c.handle for c in made], list(range(fleet + 1)))


@pytest.mark.parametrize("fleet", [1, 4])
def test_a_container_dropped_under_the_writer(place: Place, fleet: int) -> None:
    made = _neighbours(place, fleet)
    place.store.drop_container(made[0].name)
    rows = batch(SERIES, [(t, 0.5, "x") for t in range(fleet)])
    with pytest.raises(SchemaChanged), place.store.writer() as writer:
        writer.put(SERIES, rows, [c.handle for c in made], list(range(fleet + 1)))


def test_a_writer_after_an_error_is_unusable(place: Place) -> None:
    made = place.make(SERIES)
    place.store.drop_container(made.name)
    rows = batch(SERIES, [(1, 0.5, "x")])
    with contextlib.suppress(LocalProtocolError), place.store.writer() as writer:
        writer.put(SERIES, rows, [made.handle], [0, 1])
        with pytest.raises(SchemaChanged):
            writer.drain()
        with pytest.raises(LocalProtocolError, match="new one"):
            writer.put(SERIES, rows, [made.handle], [0, 1])


def test_what_is_called_before_each_message_can_keep_it_from_being_sent(place: Place) -> None:
    made = place.make(SERIES)
    rows = batch(SERIES, [(1, 0.5, "x")])
    calls: list[int] = []

    def no_more_than_two() -> None:
        calls.append(len(calls))
        if len(calls) > 2:
            raise LockConflict("not mine any more")

    with pytest.raises(LockConflict, match="not mine"), place.store.writer(before_send=no_more_than_two) as writer:  # noqa: PT012
        writer.put(SERIES, rows, [made.handle], [0, 1])
        writer.flush_log()
        writer.delete(made.schema, rows.select(["ts"]), [made.handle], [0, 1])
    assert made.count() == 1


def test_the_bulk_writer_deletes_between_puts_in_order(place: Place) -> None:
    made = place.make(SERIES)
    rows = [(i, float(i), "x") for i in range(3000)]
    with place.store.writer(window_bytes=100_000) as writer:
        writer.put(SERIES, batch(SERIES, rows), [made.handle], [0, len(rows)])
        keys = batch(SERIES, rows).select(["ts"]).slice(0, 2500)
        writer.delete(made.schema, keys, [made.handle], [0, len(keys)])
        writer.delete(made.schema, keys.slice(0, 10), [made.handle], [0, 10])
        writer.put(SERIES, batch(SERIES, [(7, 0.5, "again")]), [made.handle], [0, 1])
        assert writer.flush_log() == 1
        assert (writer.rows, writer.deleted) == (3001, 2500)
    assert made.count() == 501


def _asked(schema: ContainerSchema, *wanted: tuple[object, ...]) -> pa.RecordBatch:
    return keys(schema, wanted)


def test_multi_get_from_500(place: Place) -> None:
    made = _fleet(place, 500)
    place.store.multi_put([(c, batch(SERIES, [(t, t / 2, f"{i}") for t in range(i % 4)])) for i, c in enumerate(made)])
    rows, owners = place.store.multi_get([(c, _asked(SERIES, (0,), (2,), (9,))) for c in made], SERIES)
    found = sorted(zip(owners.tolist(), plain(SERIES, rows), strict=True))
    expected = [(i, (t, t / 2, f"{i}")) for i in range(500) for t in (0, 2) if t < i % 4]
    assert found == expected


def test_multi_get_of_composite_keys(place: Place) -> None:
    made = _fleet(place, 6, PAIR)
    rows = [("a", 1, 1.0), ("ä" * 100, 2, None), ("", 3, 3.0)]
    place.store.multi_put([(c, batch(PAIR, rows[: i % 4])) for i, c in enumerate(made)])
    found, owners = place.store.multi_get([(c, _asked(PAIR, *(r[:2] for r in rows), ("a", 9))) for c in made], PAIR)
    told = sorted(zip(owners.tolist(), plain(PAIR, found), strict=True), key=repr)
    assert told == sorted([(i, row) for i in range(6) for row in rows[: i % 4]], key=repr)


def test_multi_get_of_texts(place: Place) -> None:
    made = _fleet(place, 3, OTHER)
    texts = ["", "a", "A", "b" * 500]
    place.store.multi_put([(c, batch(OTHER, [(t, float(i)) for t in texts])) for i, c in enumerate(made)])
    found, owners = place.store.multi_get([(c, _asked(OTHER, *((t,) for t in texts))) for c in made], OTHER)
    told = sorted(zip(owners.tolist(), plain(OTHER, found), strict=True))
    assert told == sorted((i, (t, float(i))) for i in range(3) for t in texts)


def test_multi_get_of_one_container_more_than_once(place: Place) -> None:
    first, second = _neighbours(place, 2)
    place.store.multi_put([(c, batch(SERIES, [(t, 0.5, c.name) for t in range(4)])) for c in (first, second)])
    asked: list[tuple[Container | Handle, tuple[int]]]
    asked = [(first, (1,)), (second, (2,)), (first.handle, (3,)), (first, (1,)), (second, (7,))]
    found, owners = place.store.multi_get([(c, _asked(SERIES, key)) for c, key in asked], SERIES)
    told = sorted(zip(owners.tolist(), plain(SERIES, found), strict=True))
    assert told == [
        (0, (1, 0.5, first.name)),
        (1, (2, 0.5, second.name)),
        (2, (3, 0.5, first.name)),
        (3, (1, 0.5, first.name)),
    ]


def test_multi_get_of_one_key_twice(place: Place) -> None:
    made = place.make(SERIES)
    made.put(batch(SERIES, [(1, 1.0, "a")]))
    found, owners = place.store.multi_get([(made, _asked(SERIES, (1,), (1,)))], SERIES)
    assert plain(SERIES, found) == [(1, 1.0, "a")] * 2
    assert owners.tolist() == [0, 0]


def test_multi_get_of_nothing(place: Place) -> None:
    made = place.make(SERIES)
    for asked in ([], [(made, _asked(SERIES))], [(made, _asked(SERIES)), (made, _asked(SERIES, (5,)))]):
        found, owners = place.store.multi_get(asked, SERIES)
        assert (len(found), len(owners)) == (0, 0)
        assert found.schema == SERIES.arrow_schema


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MOST_KEYS", 7), ("MOST_BYTES", 100), ("MOST_CONTAINERS", 2), ("REQUESTS_AT_ONCE", 0), ("DECODED_BYTES", 1)],
)
@pytest.mark.parametrize("schema", [SERIES, OTHER, PAIR], ids=["time", "text", "composite"])
def test_multi_get_in_small_requests(
    place: Place, monkeypatch: pytest.MonkeyPatch, schema: ContainerSchema, limit: str, value: int
) -> None:
    monkeypatch.setattr(f"gridferry.griddb.keyed.{limit}", value)
    rows_of_each: dict[ContainerSchema, list[tuple[Any, ...]]] = {
        SERIES: [(t, t / 2, "x" * t) for t in range(30)],
        OTHER: [("k" * t, float(t)) for t in range(30)],
        PAIR: [("k" * t, t, None) for t in range(30)],
    }
    rows = rows_of_each[schema]
    made = _fleet(place, 5, schema)
    place.store.multi_put([(c, batch(schema, rows[: 6 * i])) for i, c in enumerate(made)])
    asked = _asked(schema, *(row[: schema.key_length] for row in rows))
    found, owners = place.store.multi_get([(c, asked) for c in made], schema)
    told = sorted(zip(owners.tolist(), plain(schema, found), strict=True), key=repr)
    assert told == sorted([(i, row) for i in range(5) for row in rows[: 6 * i]], key=repr)
    assert sorted(plain(schema, made[4].get(asked)), key=repr) == sorted(rows[:24], key=repr)


def test_multi_get_sees_no_rows_of_a_container_that_is_gone(place: Place) -> None:
    made = _neighbours(place, 3)
    place.store.multi_put([(c, batch(SERIES, [(1, 1.0, "a")])) for c in made])
    place.store.drop_container(made[1].name)
    found, owners = place.store.multi_get([(c, _asked(SERIES, (1,))) for c in made], SERIES)
    assert sorted(owners.tolist()) == [0, 2]
    assert plain(SERIES, found) == [(1, 1.0, "a")] * 2
    place.store.drop_containers([made[0].name, made[2].name])
    found, owners = place.store.multi_get([(c, _asked(SERIES, (1,))) for c in made], SERIES)
    assert (len(found), len(owners)) == (0, 0)


def test_multi_get_tells_which_container_has_other_columns(place: Place) -> None:
    made = _neighbours(place, 3)
    place.store.drop_container(made[1].name)
    place.store.create_container(made[1].name, FIXED)
    with pytest.raises(SchemaConflict, match=made[1].name):
        place.store.multi_get([(c, _asked(SERIES, (1,))) for c in made], SERIES)
    with pytest.raises(SchemaConflict, match=made[0].name):
        place.store.multi_get([(c, _asked(SERIES, (1,))) for c in made], FIXED)


def test_multi_get_needs_a_row_key(place: Place) -> None:
    keyless = collection("v DOUBLE", 0)
    made = place.make(keyless)
    with pytest.raises(LocalProtocolError, match="row key"):
        place.store.multi_get([(made, pa.record_batch({"v": [1.0]}))], keyless)
