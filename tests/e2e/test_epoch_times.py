"""Times that the source keeps as numbers are times in GridDB: as row keys, in both modes, compared and repaired."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from tests.conftest import Database
from tests.e2e.changes import sync, without_slots
from tests.e2e.ferry import Ferry

from gridferry.engine.comparison import ranges
from gridferry.errors import DataError, PlanError

CLOCK = 1704067200
CDC, WATERMARK = {"mode": "cdc"}, {"mode": "watermark"}
# In the shapes of ThingsBoard, Zabbix and Home Assistant.
SHAPES = f"""
CREATE TABLE ts_kv (entity_id uuid, key int, ts bigint, dbl_v float8, PRIMARY KEY (entity_id, key, ts));
INSERT INTO ts_kv SELECT ('00000000-0000-0000-0000-00000000000' || d)::uuid, k, {CLOCK}000 + i * 1000, i
  FROM generate_series(1, 2) d, generate_series(1, 2) k, generate_series(1, 9) i;
CREATE TABLE history (itemid bigint NOT NULL, clock integer NOT NULL, value float8, PRIMARY KEY (itemid, clock));
INSERT INTO history SELECT i, {CLOCK} + s * 60, s FROM generate_series(1, 2) i, generate_series(1, 9) s;
CREATE DOMAIN moment AS float8;
CREATE TABLE states (metadata_id bigint NOT NULL, last_updated_ts moment NOT NULL, state text, changed numeric(20, 6),
  PRIMARY KEY (metadata_id, last_updated_ts));
INSERT INTO states SELECT 1, {CLOCK}.123456 + g * 30.5, g::text, {CLOCK}.5 + g FROM generate_series(1, 9) g
"""


def of_unit(unit: str, kind: str = "timestamp(3)", **more: object) -> dict[str, Any]:
    return {"type": kind, "from": unit, **more}


def shapes(mode: dict[str, str]) -> list[dict[str, Any]]:
    states = {"last_updated_ts": of_unit("epoch_s", "timestamp(6)"), "changed": of_unit("epoch_s", "timestamp(6)")}
    return [
        {"table": "ts_kv", "split_by": "entity_id", "columns": {"ts": of_unit("epoch_ms")}, "sync": mode},
        {"table": "history", "split_by": "itemid", "columns": {"clock": of_unit("epoch_s")}, "sync": mode},
        {"table": "states", "split_by": "metadata_id", "columns": states, "sync": mode},
    ]


def full_and_quick(ferry: Ferry) -> None:
    assert ferry.equal()
    with ferry.migration() as migration:
        assert migration.verifications.verify(quick=True).verdict.value == "equal"


def test_keys_that_count_time_are_followed_by_the_log_compared_and_repaired(ferry: Ferry, postgres: Database) -> None:
    postgres.run(SHAPES)
    ferry = ferry.of(*shapes(CDC))
    with without_slots(postgres):
        ferry.load()
        full_and_quick(ferry)
        assert [row["clock"] for row in ferry.rows("history_1")][:2] == [CLOCK * 1000 + 60_000, CLOCK * 1000 + 120_000]
        assert ferry.rows("states_1")[0] == {
            "last_updated_ts": CLOCK * 10**6 + 30_623_456, "state": "1", "changed": (CLOCK + 1) * 10**6 + 500_000
        }  # fmt: skip
        postgres.run(
            "UPDATE ts_kv SET ts = ts + 7 WHERE dbl_v = 3; DELETE FROM history WHERE value = 2;"
            f"UPDATE history SET value = -1 WHERE value = 4; UPDATE states SET last_updated_ts = {CLOCK}.000001 WHERE"
            f" state = '5'; UPDATE states SET changed = NULL WHERE state = '6'; INSERT INTO history VALUES (3, 0, 0)"
        )
        sync(ferry)
        full_and_quick(ferry)
        with ferry.store() as store:
            for name, kind, key in (
                ("history_1", "ms", CLOCK * 1000 + 60_000),
                ("states_1", "us", CLOCK * 10**6 + 30_623_456),
            ):
                container = store.open_container(name)
                assert container is not None
                at = pa.array([key], pa.timestamp(kind, tz="UTC"))
                assert container.delete(pa.record_batch({container.schema.columns[0].name: at})) == 1
            series = store.open_container("history_2")
            assert series is not None  # rows that the source has not, and cannot have
            odd = pa.array([CLOCK * 1000 + 1, 253402300799999], pa.timestamp("ms", tz="UTC"))
            series.put(pa.record_batch({"clock": odd, "value": pa.array([1.0, 2.0])}))
        with ferry.migration() as migration:
            migration.repairs.repair()
        full_and_quick(ferry)


def test_keys_that_count_time_are_followed_by_their_growth(ferry: Ferry, postgres: Database) -> None:
    postgres.run(SHAPES + "; CREATE INDEX ON history (clock); CREATE INDEX ON states (last_updated_ts)")
    ferry = ferry.of(*shapes(WATERMARK))
    ferry.load()
    for turn in (20, 40):  # the second is bounded by what the first has seen; late rows are within the lookback
        postgres.run(
            f"INSERT INTO ts_kv SELECT '00000000-0000-0000-0000-000000000003', 1, {CLOCK}000 + {turn}, 1;"
            f"INSERT INTO history VALUES (1, {CLOCK + 9500} + {turn}, 1), (2, {CLOCK + 9999} + {turn}, 1);"
            f"INSERT INTO states VALUES (2, {CLOCK}.25 + {turn}, 'new', {CLOCK})"
        )
        sync(ferry)
        full_and_quick(ferry)


def test_values_without_a_place_are_refused_put_aside_or_brought_to_one(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE t (id int PRIMARY KEY, a bigint, b float8, c numeric);"
        f"INSERT INTO t VALUES (1, {CLOCK}, {CLOCK}, {CLOCK}), (2, -1, 'NaN', 'NaN'), (3, {10**12}, -1, -1),"
        f" (4, 0, {CLOCK}.1234567, {CLOCK}.1234567), (5, NULL, NULL, NULL)"
    )
    wishes = {name: of_unit("epoch_s", "timestamp(6)") for name in "abc"}
    with pytest.raises(PlanError) as caught:
        ferry.of({"table": "t", "columns": wishes}).load()
    problems = " ".join(caught.value.problems)
    assert "values of a before 1970 or after 9999, in 2 rows" in problems
    assert "values of b with digits below the microsecond, in 1 row" in problems
    assert "values of c that are NaN, in 1 row" in problems
    aside = ferry.of({"table": "t", "columns": wishes, "on_bad_row": "quarantine"})
    (load,) = aside.load()
    assert (load.quarantined, aside.equal()) == (3, True)
    nulls = {name: of_unit("epoch_s", "timestamp(6)", out_of_range="null") for name in "abc"}
    kept = ferry.of({"table": "t", "columns": nulls, "where": "id <> 4"})
    kept.load(replace=True)
    rows = {row["id"]: (row["a"], row["b"], row["c"]) for row in kept.rows("t")}
    assert rows == {1: (CLOCK * 10**6,) * 3, 2: (None,) * 3, 3: (None,) * 3, 5: (None,) * 3}
    assert kept.equal()


def test_keys_cut_to_milliseconds_meet_and_are_settled_alike(ferry: Ferry, postgres: Database) -> None:
    postgres.run(
        "CREATE TABLE whole (ts bigint PRIMARY KEY, v int); CREATE TABLE fraction (ts float8 PRIMARY KEY, v int);"
        f"INSERT INTO whole SELECT {CLOCK * 10**6} + g * 400, g FROM generate_series(1, 9) g;"
        f"INSERT INTO fraction SELECT {CLOCK}.000001 + g * 0.0004, g FROM generate_series(1, 9) g"
    )
    entries = [
        {"table": "whole", "columns": {"ts": of_unit("epoch_us")}},
        {"table": "fraction", "columns": {"ts": of_unit("epoch_s")}},
    ]
    with pytest.raises(PlanError, match="problem"):
        ferry.of({**entries[0], "precision": "truncate"}).load()
    settled = {"precision": "truncate", "on_duplicate": "last", "order_by": "v", "sync": CDC}
    ferry = ferry.of(*({**entry, **settled} for entry in entries))
    with without_slots(postgres):
        ferry.load()
        full_and_quick(ferry)
        assert [row["v"] for row in ferry.rows("whole")] == [2, 4, 7, 9]
        postgres.run(
            "DELETE FROM whole WHERE v = 7; DELETE FROM fraction WHERE v = 4; UPDATE fraction SET v = -v WHERE v = 9"
        )
        sync(ferry)
        full_and_quick(ferry)


def test_a_later_number_without_a_place_is_refused_by_name(ferry: Ferry, postgres: Database) -> None:
    postgres.run(f"CREATE TABLE t (id int PRIMARY KEY, at bigint); INSERT INTO t VALUES (1, {CLOCK})")
    ferry = ferry.of({"table": "t", "columns": {"at": of_unit("epoch_s")}, "sync": WATERMARK})
    ferry.load()
    postgres.run(f"INSERT INTO t VALUES (2, {CLOCK}000)")
    with pytest.raises(DataError, match="at lies before 1970 or after 9999"):
        sync(ferry)


def test_a_large_table_is_compared_by_ranges_of_a_key_that_counts_time(
    ferry: Ferry, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"s": ("int", "1"), "ms": ("bigint", "1001"), "us": ("numeric", "1001.000"), "ns": ("bigint", "7000000")}
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    for unit, (kind, step) in kinds.items():
        start = CLOCK * scale[unit]
        postgres.run(
            f"CREATE TABLE t_{unit} (ts {kind} PRIMARY KEY, v int);"
            f"INSERT INTO t_{unit} SELECT {start} + g * {step}, g FROM generate_series(1, 60) g; ANALYZE t_{unit}"
        )
    postgres.run(
        "CREATE TABLE t_double (ts float8 PRIMARY KEY, v int);"
        f"INSERT INTO t_double SELECT {CLOCK} + g * 0.123457, g FROM generate_series(1, 60) g; ANALYZE t_double"
    )
    wishes = {
        f"t_{unit}": of_unit(f"epoch_{unit}", "timestamp(6)" if unit == "us" else "timestamp(3)") for unit in kinds
    }
    wishes["t_double"] = of_unit("epoch_s", "timestamp(6)")
    ferry = ferry.of(*({"table": table, "columns": {"ts": wish}} for table, wish in wishes.items()))
    ferry.load()
    for name, value in {"ROWS_IN_MEMORY": 0, "LEAST_ROWS_A_PART": 5, "ROWS_A_PART": 5}.items():
        monkeypatch.setattr(ranges, name, value)
    cuts: list[ranges.Cut] = []
    cut_table = ranges.cut_table

    def noted(*given: Any) -> ranges.Cut:
        cuts.append(cut_table(*given))
        return cuts[-1]

    monkeypatch.setattr("gridferry.engine.verify.table.cut_table", noted)
    full_and_quick(ferry)
    assert sorted(cut.measure.value for cut in cuts) == ["epoch_ms", "epoch_ns", "epoch_s", "epoch_s", "epoch_us"]
    assert all(len(cut.parts) > 3 for cut in cuts)
