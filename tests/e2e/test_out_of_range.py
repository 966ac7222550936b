"""Values that GridDB's own types cannot hold: every row is kept in another type, both ways and in both modes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry
from tests.e2e.test_atlas import differing

from gridferry.errors import DataError

FAR = """
CREATE TABLE member (id int PRIMARY KEY, born date, valid_to timestamptz, seen timestamp, note text, doc jsonb);
INSERT INTO member VALUES
  (1, '1953-09-02', 'infinity', '1969-12-31 23:59:59.999999', repeat('ä', 20000), '{"a": 1}'),
  (2, '0044-03-15 BC', '-infinity', '4714-11-24 00:00:00 BC', 'short', jsonb_build_object('b', repeat('x', 40000))),
  (3, '5874897-12-31', '15000-12-31 23:40:28.5+00', '294246-01-01 00:00:00', '', 'null'),
  (4, 'infinity', '2024-01-01', '2024-01-01', NULL, NULL), (5, '-infinity', NULL, NULL, 'x', '1'),
  (6, NULL, NULL, NULL, NULL, NULL)
"""


def quick_and_full(ferry: Ferry) -> None:
    assert ferry.equal()
    with ferry.migration() as migration:
        assert migration.verifications.verify(quick=True).verdict.value == "equal"


def test_every_row_of_a_table_with_far_times_and_long_texts_is_kept(ferry: Ferry, postgres: Database) -> None:
    postgres.run(FAR)
    ferry = ferry.of({"table": "member", "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        (load,) = ferry.load()
        assert load.quarantined == 0
        with ferry.migration() as migration:
            (plan,) = migration.plan().tables
        labels = {c.source: c.target.label for c in plan.columns}
        assert labels == {
            "id": "INTEGER", "born": "LONG", "valid_to": "LONG", "seen": "LONG", "note": "BLOB", "doc": "BLOB"
        }  # fmt: skip
        assert list(differing(ferry, postgres, "member")) == []
        quick_and_full(ferry)
        postgres.run("UPDATE member SET id = id + 10; UPDATE member SET valid_to = '0001-01-01 BC' WHERE id = 14")
        sync(ferry)
        assert list(differing(ferry, postgres, "member")) == []
        quick_and_full(ferry)
        with ferry.store() as store:  # what was lost and changed there is brought back by key
            container = store.open_container("member")
            assert container is not None
            container.delete(pa.record_batch({"id": pa.array([11], pa.int32())}))
        with ferry.migration() as migration:
            migration.repairs.repair()
        assert list(differing(ferry, postgres, "member")) == []


def test_far_times_can_be_a_row_key(ferry: Ferry, postgres: Database) -> None:
    tables = {"days": "date", "moments": "timestamptz"}
    for table, kind in tables.items():
        postgres.run(
            f"CREATE TABLE {table} (born {kind} PRIMARY KEY, v int); INSERT INTO {table} VALUES ('1953-09-02', 1),"
            " ('infinity', 2), ('-infinity', 3), ('0044-03-15 BC', 4), ('12024-01-01', 5), ('2024-01-01', 6)"
        )
    ferry = ferry.of(*({"table": table, "sync": {"mode": "cdc"}} for table in tables))
    with without_slots(postgres):
        ferry.load()
        quick_and_full(ferry)
        for table in tables:
            postgres.run(
                f"UPDATE {table} SET born = '1001-01-01 BC' WHERE v = 4; DELETE FROM {table} WHERE v = 2;"
                f"UPDATE {table} SET born = 'infinity' WHERE v = 1; UPDATE {table} SET v = -v"
            )
        sync(ferry)
        assert [list(differing(ferry, postgres, table)) for table in tables] == [[], []]
        with ferry.store() as store:
            for table in tables:
                container = store.open_container(table)
                assert container is not None
                assert container.delete(pa.record_batch({"born": pa.array([2**63 - 1])})) == 1
        with ferry.migration() as migration:
            migration.repairs.repair()
        quick_and_full(ferry)


def test_rows_of_one_column_are_put_aside_and_those_of_another_refused(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE offer (id int PRIMARY KEY, born date, ends date);"
        "INSERT INTO offer VALUES (1, '1953-09-02', '2024-01-01'), (2, '2024-01-01', '2024-01-01')"
    )
    columns = {"born": {"out_of_range": "quarantine"}, "ends": {"out_of_range": "error"}}
    ferry = ferry.of({"table": "offer", "columns": columns, "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        (load,) = ferry.load()
        assert (load.quarantined, [row["id"] for row in ferry.rows("offer")]) == (1, [2])
        postgres.run(
            "UPDATE offer SET born = 'infinity' WHERE id = 2; UPDATE offer SET born = '2024-01-01' WHERE id = 1"
        )
        sync(ferry)
        assert [row["id"] for row in ferry.rows("offer")] == [1]
        assert ferry.equal()
        postgres.run("UPDATE offer SET ends = 'infinity' WHERE id = 2")
        with pytest.raises(DataError, match="ends lies before 1970"):
            sync(ferry)


def test_a_table_may_be_called_as_gridferrys_own_containers_are(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE gridferry_state (id int PRIMARY KEY, v text); INSERT INTO gridferry_state VALUES (1, 'x')"
    )
    ferry = ferry.of({"table": "gridferry_state", "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        ferry.load()
        postgres.run("UPDATE gridferry_state SET v = 'y'")
        sync(ferry)
        assert ferry.rows("=67ridferry_state") == [{"id": 1, "v": "y"}]
        assert ferry.equal()


def test_the_config_says_what_becomes_of_values_out_of_range_and_of_money(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE offer (id int PRIMARY KEY, valid_to timestamptz NOT NULL, born date, note text, price numeric);"
        "INSERT INTO offer VALUES (1, 'infinity', '1953-09-02', repeat('ä', 20000), 9.99),"
        " (2, '-infinity', 'infinity', 'x', -0.01), (3, '2024-01-01', '2024-01-01', NULL, NULL)"
    )
    columns = {
        "valid_to": {"out_of_range": "clamp"}, "born": {"out_of_range": None}, "note": {"out_of_range": "clamp"},
        "price": {"type": "long", "scale": 2},
    }  # fmt: skip
    ferry = ferry.of({"table": "offer", "columns": columns, "sync": {"mode": "cdc"}})
    with without_slots(postgres):
        ferry.load()
        found = {row["id"]: row for row in ferry.rows("offer")}
        assert [found[n]["valid_to"] for n in (1, 2)] == [253402300799999999, 0]
        assert [found[n]["born"] for n in (1, 2, 3)] == [None, None, 1704067200000]
        assert found[1]["note"] == "ä" * 15872
        assert [found[n]["price"] for n in (1, 2, 3)] == [999, -1, None]
        assert ferry.equal()
        postgres.run("UPDATE offer SET price = 12.5, valid_to = 'infinity' WHERE id = 3")
        sync(ferry)
        assert ferry.equal()
        row = next(row for row in ferry.rows("offer") if row["id"] == 3)
        assert (row["price"], row["valid_to"]) == (1250, 253402300799999999)
        postgres.run("UPDATE offer SET price = 0.125 WHERE id = 3")
        with pytest.raises(DataError, match="price has more digits"):
            sync(ferry)
