"""The planner: which key, which kind, which names, and every problem at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan.tables import BIGINT, BOOL, DOUBLE, TEXT, TS, key_facts, primary, sensor, sensor_facts

from gridferry.errors import PlanError
from gridferry.griddb.schema import ContainerKind, GridType
from gridferry.model.profile import ColumnProfile, Facts, KeyProfile, KeyRequest, TableProfile
from gridferry.model.publishing import ChangeAccess, Obstacle, Published, Publishing
from gridferry.model.table import Column, PgType, Table, TypeKind, UniqueKey
from gridferry.plan.names import container_name
from gridferry.plan.plan import Fidelity, Kernel, Plan, ReadAs, Severity, SourceColumn, TablePlan
from gridferry.plan.planner import plan_table, plan_tables, profile_request, require_open, require_sound
from gridferry.plan.table_options import TableOptions, table_options

NUMERIC = PgType("numeric", "numeric")
SPLIT = {"table": "device", "split_by": "device", "key": "ts"}


def _options(**changes: object) -> TableOptions:
    return table_options(**{**SPLIT, **changes})


def _plan(profile: TableProfile | None = None, table: Table | None = None, **changes: Any) -> TablePlan:
    return plan_table(table or sensor(), profile or sensor_facts(), _options(**changes))


def _shape(plan: TablePlan) -> list[tuple[str, str, Kernel]]:
    return [(c.target.name, c.target.label, c.kernel) for c in plan.columns]


def _text(plan: TablePlan, severity: Severity) -> str:
    return "\n".join(f"{f.subject}: {f.message} | {f.advice}" for f in plan.findings if f.severity is severity)


def _one_table(columns: tuple[Column, ...], **changes: object) -> Table:
    return Table(schema="public", name="t", relkind="r", columns=columns, **changes)  # type: ignore[arg-type]


# The sensor table


def test_fine_digits_are_kept_in_a_second_column() -> None:
    plan = _plan()
    require_sound(plan)
    assert plan.kind is ContainerKind.TIME_SERIES
    assert _shape(plan) == [
        ("ts", "TIMESTAMP(3)", Kernel.TIME_MS_TRUNCATE),
        ("ts_us", "TIMESTAMP(6)", Kernel.TIME_US),
        ("co", "DOUBLE", Kernel.SAME),
        ("light", "BOOL", Kernel.SAME),
        ("temp", "DOUBLE", Kernel.SAME),
    ]
    assert [c.verdict for c in plan.columns[:2]] == [Fidelity.WIDENED, Fidelity.EXACT]
    assert plan.container_schema.key_length == 1
    assert not plan.columns[0].target.nullable
    assert plan.columns[2].target.nullable
    assert [(c.name, c.value, c.rows) for c in plan.containers] == [("device_a", "a", 5), ("device_b", "b", 5)]
    assert plan.source_columns == (
        SourceColumn("ts", ReadAs.PLAIN),
        SourceColumn("co", ReadAs.PLAIN),
        SourceColumn("light", ReadAs.PLAIN),
        SourceColumn("temp", ReadAs.PLAIN),
        SourceColumn("device", ReadAs.TEXT),
    )
    assert Plan.from_json(Plan((plan,)).to_json()) == Plan((plan,))


def test_no_fine_digits_need_no_second_column() -> None:
    plan = _plan(sensor_facts(fine=0))
    assert _shape(plan)[0] == ("ts", "TIMESTAMP(3)", Kernel.TIME_MS)
    assert plan.columns[0].verdict is Fidelity.EXACT
    assert [c.target.name for c in plan.columns] == ["ts", "co", "light", "temp"]


def test_a_followed_table_keeps_the_digits_that_its_type_has_and_its_rows_have_not_yet() -> None:
    followed: dict[str, Any] = {"sync": {"mode": "watermark", "column": "ts"}}
    kept = [c.target.name for c in _plan(sensor_facts(fine=0), **followed).columns][:2]
    assert kept == ["ts", "ts_us"]
    for other in ({}, {**followed, "precision": "truncate"}, {**followed, "columns": {"ts": "timestamp(3)"}}):
        assert "ts_us" not in [c.target.name for c in _plan(sensor_facts(fine=0), **other).columns]
    declared = (Column("ts", replace(TS, precision=3), nullable=False), *sensor().columns[1:])
    plan = _plan(sensor_facts(fine=None), sensor(columns=declared), **followed)
    assert "ts_us" not in [c.target.name for c in plan.columns]


def test_a_column_that_each_update_raises_shows_updates() -> None:
    by_key = _text(_plan(sensor_facts(), sync={"mode": "watermark", "column": "ts"}), Severity.RISK)
    assert "finds new rows only; updates and deletes in the source are not seen" in by_key
    by_other = _text(_plan(sensor_facts(), sync={"mode": "watermark", "column": "co"}), Severity.RISK)
    assert "finds new rows, and updates that raise co; other updates, and deletes" in by_other


def test_keep_always_makes_the_second_column() -> None:
    assert [c.target.name for c in _plan(sensor_facts(fine=0), precision="keep").columns][:2] == ["ts", "ts_us"]


def test_a_sample_or_unknown_digits_count_as_fine() -> None:
    assert _plan(sensor_facts(fine=None)).columns[1].target.name == "ts_us"
    plan = _plan(sensor_facts(fine=0, exact=False))
    assert plan.columns[1].target.name == "ts_us"
    assert "only a sample" in _text(plan, Severity.RISK)


def test_a_declared_millisecond_column_needs_no_second_column() -> None:
    columns = (Column("ts", replace(TS, precision=3), nullable=False), *sensor().columns[1:])
    plan = _plan(sensor_facts(fine=None), sensor(columns=columns), precision="keep")
    assert _shape(plan)[:2] == [("ts", "TIMESTAMP(3)", Kernel.TIME_MS), ("co", "DOUBLE", Kernel.SAME)]


def test_the_second_columns_name_gives_way() -> None:
    table = sensor(columns=(*sensor().columns, Column("TS_us", DOUBLE), Column("ts_us2", DOUBLE)))
    plan = _plan(table=table)
    require_sound(plan)
    assert plan.columns[1].target.name == "ts_us3"
    assert _plan(rename={"ts": "time"}).columns[1].target.name == "time_us"


def test_rows_within_a_millisecond_make_a_collection() -> None:
    plan = _plan(sensor_facts(key=key_facts(truncated=2)))
    require_sound(plan)
    assert plan.kind is ContainerKind.COLLECTION
    assert _shape(plan)[:2] == [("ts", "TIMESTAMP(6)", Kernel.TIME_US), ("co", "DOUBLE", Kernel.SAME)]
    assert plan.colliding == 0
    assert "by milliseconds 2 rows would meet another" in _text(plan, Severity.INFO)


def test_a_wished_time_series_over_such_rows_is_a_problem_under_error() -> None:
    plan = _plan(sensor_facts(key=key_facts(truncated=2)), kind="timeseries")
    assert "2 rows share their key (ts cut to milliseconds) within one device" in _text(plan, Severity.PROBLEM)
    assert "2020-01-01 00:00:00.123)" in _text(plan, Severity.PROBLEM)
    assert plan.colliding == 2


def test_truncate_is_lossy_and_said() -> None:
    plan = _plan(precision="truncate")
    require_sound(plan)
    assert plan.kind is ContainerKind.TIME_SERIES
    assert [c.target.name for c in plan.columns] == ["ts", "co", "light", "temp"]
    assert plan.columns[0].verdict is Fidelity.LOSSY
    assert "loses information" in _text(plan, Severity.RISK)


def test_truncate_counts_the_rows_that_meet() -> None:
    facts = sensor_facts(key=key_facts(truncated=2))
    assert _plan(facts, precision="truncate").colliding == 2
    collection = _plan(facts, precision="truncate", kind="collection")
    assert (collection.kind, collection.columns[0].target.type) == (ContainerKind.COLLECTION, GridType.TIMESTAMP_MS)


def test_a_wished_collection_keeps_microseconds() -> None:
    plan = _plan(sensor_facts(fine=0), kind="collection")
    assert (plan.kind, plan.columns[0].target.type) == (ContainerKind.COLLECTION, GridType.TIMESTAMP_US)


@pytest.mark.parametrize(
    ("policy", "severity", "words"),
    [
        ("error", Severity.PROBLEM, "add columns to `key`"),
        ("quarantine", Severity.RISK, "the others go to the quarantine"),
        ("last", Severity.RISK, "the last by their physical place is kept"),
        ("first", Severity.RISK, "the first by their physical place is kept"),
    ],
)
def test_rows_of_one_key(policy: str, severity: Severity, words: str) -> None:
    plan = _plan(sensor_facts(key=key_facts(colliding=4, truncated=4)), on_duplicate=policy)
    assert plan.kind is ContainerKind.TIME_SERIES, "a finer key would not tell them apart"
    assert plan.colliding == 4
    assert "4 rows share their key" in _text(plan, severity)
    assert words in _text(plan, severity)


def test_order_by_decides_between_rows_of_one_key() -> None:
    plan = _plan(sensor_facts(key=key_facts(4, 4)), on_duplicate="last", order_by=["co"])
    assert "the last by co is kept" in _text(plan, Severity.RISK)


def test_nulls_in_the_key_are_a_problem() -> None:
    plan = _plan(sensor_facts(key=key_facts(nulls=3)), on_bad_row="quarantine")
    assert "NULL in the key (ts), in 3 rows" in _text(plan, Severity.PROBLEM)


# Other keys


def test_no_key_is_a_problem_with_a_way_out() -> None:
    plan = plan_table(sensor(), sensor_facts(), table_options(table="device"))
    assert "no usable key" in _text(plan, Severity.PROBLEM)
    assert "`key: generated`" in _text(plan, Severity.PROBLEM)
    assert profile_request(sensor(), table_options(table="device")).key is None


def test_the_primary_key_without_the_split_column() -> None:
    table = sensor(keys=primary("device", "ts"))
    options = table_options(table="device", split_by="device")
    plan = plan_table(table, sensor_facts(), options)
    require_sound(plan)
    assert plan.key == ("ts",)
    assert profile_request(table, options).key == KeyRequest(("device", "ts"), split=1, unique=False, truncate="ts")


def test_uniqueness_is_proven_by_a_constraint_inside_the_key() -> None:
    columns = (Column("device", TEXT, nullable=False), Column("ts", TS, nullable=False))
    table = _one_table(columns, keys=primary("device", "ts"))
    request = profile_request(table, table_options(table="t", split_by="device"))
    assert request.key == KeyRequest(("device", "ts"), split=1, unique=True, truncate="ts")
    assert profile_request(table, table_options(table="t")).key == KeyRequest(("device", "ts"), unique=True)
    assert profile_request(table, table_options(table="t", key="ts")).key == KeyRequest(("ts",), truncate="ts")


def test_a_unique_key_without_nulls_stands_in() -> None:
    columns = (Column("a", BIGINT), Column("b", BIGINT, nullable=False), Column("c", BIGINT, nullable=False))
    keys = (UniqueKey("u1", ("a",)), UniqueKey("u2", ("b", "c")), UniqueKey("u3", ("c",)))
    plan = plan_table(_one_table(columns, keys=keys), TableProfile(0, ()), table_options(table="t"))
    assert plan.key == ("c",)
    assert [c.target.name for c in plan.columns] == ["c", "a", "b"]
    assert plan.kind is ContainerKind.COLLECTION
    assert "the unique key u3" in _text(plan, Severity.INFO)


def test_a_key_that_is_only_the_split_column() -> None:
    plan = _plan(key="device")
    assert "the key is the split column device alone" in _text(plan, Severity.PROBLEM)


def test_key_order_is_the_configs_and_composite_times_keep_microseconds() -> None:
    plan = plan_table(sensor(), sensor_facts(), table_options(table="device", key=["device", "ts"]))
    assert _shape(plan)[:2] == [("device", "STRING", Kernel.TEXT), ("ts", "TIMESTAMP(6)", Kernel.TIME_US)]
    assert (plan.key_length, plan.kind) == (2, ContainerKind.COLLECTION)
    assert not plan.container_schema.key[0].nullable


def test_key_types_that_need_another_form() -> None:
    columns = tuple(
        Column(name, kind, nullable=False)
        for name, kind in (
            ("small", PgType("int2", "smallint")),
            ("flag", BOOL),
            ("day", PgType("date", "date")),
            ("price", PgType("numeric", "numeric(10,2)", precision=10, scale=2)),
            ("id", PgType("uuid", "uuid")),
        )
    )
    names = [c.name for c in columns]
    plan = plan_table(_one_table(columns), TableProfile(0, ()), table_options(table="t", key=names))
    require_sound(plan)
    assert [c.target.label for c in plan.columns] == ["INTEGER", "STRING", "TIMESTAMP(3)", "STRING", "STRING"]


@pytest.mark.parametrize("kind", [DOUBLE, PgType("bytea", "bytea"), PgType("inet", "inet")])
def test_keys_of_any_type_are_stored_as_text(kind: PgType) -> None:
    table = _one_table((Column("k", kind, nullable=False),), keys=primary("k"))
    plan = plan_table(table, TableProfile(0, ()), table_options(table="t"))
    require_sound(plan)
    assert [(c.target.label, c.read_as, c.verdict) for c in plan.columns] == [("STRING", ReadAs.TEXT, Fidelity.TEXT)]
    wrong = plan_table(table, TableProfile(0, ()), table_options(table="t", columns={"k": "blob"}))
    assert "cannot become BLOB as a row key | possible in `columns`: string" in _text(wrong, Severity.PROBLEM)


@pytest.mark.parametrize(
    ("kind", "facts", "label", "kernel"),
    [
        (TS, {"minimum": -1, "maximum": 0, "outside": 4}, "LONG", Kernel.TIME_LONG),
        (PgType("date", "date"), {"minimum": 0, "maximum": 0, "infinite": 1}, "LONG", Kernel.DATE_LONG),
        (TEXT, {"max_bytes": 31745, "outside": 2}, "BLOB", Kernel.TEXT_BLOB),
        (PgType("jsonb", "jsonb"), {"max_bytes": 31745, "outside": 2}, "BLOB", Kernel.TEXT_BLOB),
        (TS, {"minimum": 0, "maximum": 0, "infinite": 0}, "TIMESTAMP(6)", Kernel.TIME_US),
        (TEXT, {"max_bytes": 31744}, "STRING", Kernel.TEXT),
    ],
)
def test_a_type_that_keeps_every_row_is_chosen_and_told(
    kind: PgType, facts: dict[str, int], label: str, kernel: Kernel
) -> None:
    table = _one_table((Column("id", BIGINT, nullable=False), Column("v", kind)), keys=primary("id"))
    profile = TableProfile(9, (ColumnProfile("v", nulls=0, **facts),))
    plan = plan_table(table, profile, table_options(table="t"))
    require_sound(plan)
    assert (plan.columns[1].target.label, plan.columns[1].kernel) == (label, kernel)
    told = [f for f in plan.findings if f.subject == "v" and f"it is stored as {label}" in f.message]
    assert bool(told) == (label in ("LONG", "BLOB"))
    aside = plan_table(table, profile, table_options(table="t", on_bad_row="quarantine"))
    assert aside.columns[1].target.label in ("TIMESTAMP(6)", "TIMESTAMP(3)", "STRING"), "such rows are put aside"
    (key,) = (plan_table(table, profile, table_options(table="t", key="v")).columns[0],)
    assert key.target.label == ("LONG" if label == "LONG" else key.target.label)


def test_a_date_key_makes_a_time_series() -> None:
    table = _one_table((Column("day", PgType("date", "date"), nullable=False),), keys=primary("day"))
    plan = plan_table(table, TableProfile(0, ()), table_options(table="t"))
    assert (plan.kind, _shape(plan)) == (ContainerKind.TIME_SERIES, [("day", "TIMESTAMP(3)", Kernel.DATE_MS)])
    assert profile_request(table, table_options(table="t")).key == KeyRequest(("day",), unique=True)


def test_a_time_series_needs_a_time() -> None:
    table = _one_table((Column("id", BIGINT, nullable=False),), keys=primary("id"))
    plan = plan_table(table, TableProfile(0, ()), table_options(table="t", kind="timeseries"))
    assert "needs exactly one key column, a time" in _text(plan, Severity.PROBLEM)


def test_types_chosen_for_a_time_key() -> None:
    exact = _plan(sensor_facts(fine=0), columns={"ts": "timestamp(3)"})
    assert (exact.kind, exact.columns[0].kernel) == (ContainerKind.TIME_SERIES, Kernel.TIME_MS)
    fine = _plan(sensor_facts(fine=3), columns={"ts": "timestamp(3)"})
    assert "values of ts with digits below the millisecond, in 3 rows" in _text(fine, Severity.PROBLEM)
    text = _plan(columns={"ts": "string"})
    assert (text.kind, text.columns[0].read_as) == (ContainerKind.COLLECTION, ReadAs.TEXT)


def test_more_than_sixteen_key_columns() -> None:
    columns = tuple(Column(f"k{n}", BIGINT, nullable=False) for n in range(17))
    table = _one_table(columns, keys=primary(*(c.name for c in columns)))
    plan = plan_table(table, TableProfile(0, ()), table_options(table="t"))
    assert "17 columns, and GridDB takes 16" in _text(plan, Severity.PROBLEM)


# Columns and values


def test_everything_wrong_is_found_at_once() -> None:
    table = sensor(
        columns=(
            *sensor().columns,
            Column("tags", PgType("_text", "text[]", TypeKind.ARRAY)),
            Column("took", PgType("interval", "interval")),
            Column("temp °C", DOUBLE),
            Column("CO", DOUBLE),
        )
    )
    plan = _plan(
        table=table,
        columns={"light": "double", "nope": "long"},
        rename={"gone": "x"},
        exclude=["away"],
        order_by=["lost"],
    )
    problems = _text(plan, Severity.PROBLEM)
    for words in (
        'no column can be called "temp °C": only ASCII',
        "`rename: {temp °C: temp_C}`",
        'the columns co and CO would both be called "co"',
        "boolean cannot become DOUBLE | possible in `columns`: bool, string, blob",
        "`columns` names the column nope",
        "`rename` names the column gone",
        "`exclude` names the column away",
        "`order_by` names the column lost",
    ):
        assert words.lower() in problems.lower(), words
    with pytest.raises(PlanError) as caught:
        require_sound(Plan((plan,)))
    assert len(caught.value.problems) == len(plan.problems) == 7
    assert all(p.startswith("public.device: ") for p in caught.value.problems)
    assert caught.value.state == "nothing was written"


def test_unknown_key_and_split_columns() -> None:
    plan = _plan(key="when", split_by="who")
    problems = _text(plan, Severity.PROBLEM)
    assert "the key column when is not in the table" in problems
    assert "`split_by` names the column who" in problems
    request = profile_request(sensor(), _options(key="when", split_by="who"))
    assert (request.split_by, request.key) == (None, None)


def test_an_excluded_key() -> None:
    assert "ts is excluded, but it is part of the key" in _text(_plan(exclude=["ts"]), Severity.PROBLEM)


def test_too_many_columns() -> None:
    columns = tuple(Column(f"c{n}", BIGINT, nullable=False) for n in range(1025))
    plan = plan_table(_one_table(columns, keys=primary("c0")), TableProfile(0, ()), table_options(table="t"))
    assert "1025 columns; GridDB takes 1024" in _text(plan, Severity.PROBLEM)


def test_overrides_and_not_null() -> None:
    columns = (
        Column("id", BIGINT, nullable=False),
        Column("price", PgType("numeric", "numeric"), nullable=False),
        Column("big", BIGINT),
        Column("seen", TS),
    )
    table = _one_table(columns, keys=primary("id"))
    wishes = {"price": "double", "big": "integer", "seen": "timestamp(3)"}
    plan = plan_table(table, TableProfile(0, ()), table_options(table="t", columns=wishes))
    require_sound(plan)
    assert [c.target.label for c in plan.columns] == ["LONG", "DOUBLE", "INTEGER", "TIMESTAMP(3)"]
    assert [c.target.nullable for c in plan.columns] == [False, False, True, True]
    assert "numeric to DOUBLE loses information" in _text(plan, Severity.RISK)


def test_profile_request_asks_only_what_the_catalog_does_not_tell() -> None:
    columns = (
        Column("id", BIGINT, nullable=False),
        Column("note", TEXT),
        Column("code", PgType("varchar", "character varying(30)", length=30)),
        Column("big", BIGINT),
        Column("seen", TS),
        Column("took", PgType("interval", "interval")),
    )
    table = _one_table(columns, keys=primary("id"))
    request = profile_request(table, table_options(table="t", columns={"big": "short"}, where="id > 1"))
    found = {(c.name, c.facts, c.low, c.high) for c in request.columns}
    assert found == {
        ("note", Facts.TEXT, None, 31744),
        ("big", Facts.INTEGER, -32768, 32767),
        ("seen", Facts.TIME, 0, 253402300799999999),
    }
    assert (request.where, request.split_by, request.schema, request.table) == ("id > 1", None, "public", "t")
    assert request.key == KeyRequest(("id",), unique=True)


@pytest.mark.parametrize(
    ("kind", "wish", "facts", "words"),
    [
        (
            TEXT,
            "string",
            {"max_bytes": 31745, "outside": 2},
            "values of v longer than the 31744 bytes of a STRING (the longest has 31745), in 2 rows",
        ),
        (
            TS,
            "timestamp(6)",
            {"minimum": -1, "maximum": 0, "outside": 4},
            "values of v before 1970 or after 9999, in 4 rows",
        ),
        (TS, "timestamp(6)", {"minimum": 0, "maximum": 0, "infinite": 1}, "values of v that are infinite, in 1 row"),
        (
            TS,
            "timestamp(3)",
            {"minimum": 0, "maximum": 0, "fine": 6},
            "values of v with digits below the millisecond, in 6 rows",
        ),
        (BIGINT, "short", {"minimum": 0, "maximum": 40000}, "values of v too large for SHORT, in some rows"),
        (
            PgType("numeric", "numeric"),
            "long",
            {"nan": 1, "max_scale": 2},
            "values of v with a fraction, in some rows",
        ),
    ],
)
def test_values_that_do_not_fit(kind: PgType, wish: str | None, facts: dict[str, int], words: str) -> None:
    table = _one_table((Column("id", BIGINT, nullable=False), Column("v", kind)), keys=primary("id"))
    profile = TableProfile(9, (ColumnProfile("v", nulls=0, **facts),))
    wishes = {"columns": {"v": wish}} if wish else {}
    strict = plan_table(table, profile, table_options(table="t", **wishes))
    assert words in _text(strict, Severity.PROBLEM)
    assert "on_bad_row: quarantine" in _text(strict, Severity.PROBLEM)
    patient = plan_table(table, profile, table_options(table="t", on_bad_row="quarantine", **wishes))
    assert words in _text(patient, Severity.RISK)
    assert patient.problems == ()
    in_key = plan_table(table, profile, table_options(table="t", on_bad_row="quarantine", key="v", **wishes))
    if wish not in ("short", "float"):  # which cannot be a key at all
        assert words in _text(in_key, Severity.PROBLEM)


# Containers


def test_names_of_values() -> None:
    profile = sensor_facts(values=("b8:27", "x", None, ""))
    plan = _plan(profile, containers={"x": "device1", "unseen": "device9"}, container="d_{device}")
    require_sound(plan)
    assert [c.name for c in plan.containers] == ["d_b8=3A27", "device1", "d_=null", "d_=empty"]
    assert container_name(plan, "x") == "device1"
    assert container_name(plan, "new one") == "d_new=20one"
    assert container_name(plan, None) == "d_=null"
    assert '`containers` gives a name to "unseen"' in _text(plan, Severity.INFO)
    assert "5 rows without a device" in _text(plan, Severity.INFO)


def test_values_that_meet_in_one_name() -> None:
    plan = _plan(sensor_facts(values=("North", "NORTH", "south")))
    assert 'the device values "North", "NORTH" meet in one container, device_North' in _text(plan, Severity.PROBLEM)
    assert "`containers`" in _text(plan, Severity.PROBLEM)
    require_sound(_plan(sensor_facts(values=("North", "NORTH")), containers={"NORTH": "north2"}))


def test_names_that_are_not_possible_are_one_problem_a_reason() -> None:
    plan = _plan(sensor_facts(values=tuple("abcdefg")), container="a b {value}")
    problems = [p.message for p in plan.problems]
    assert len(problems) == 1
    assert '"a b a", "a b b"' in problems[0]
    assert "and 2 more" in problems[0]
    assert "gridferry_" in _text(_plan(container="gridferry_{value}"), Severity.PROBLEM)


def test_one_container_without_a_split() -> None:
    plan = plan_table(sensor(), sensor_facts(), table_options(table="device", key="ts", container="all"))
    assert [(c.name, c.value, c.rows) for c in plan.containers] == [("all", None, 10)]
    assert container_name(plan) == "all"
    assert [c.target.name for c in plan.columns] == ["ts", "ts_us", "device", "co", "light", "temp"]


def test_two_tables_in_one_container() -> None:
    options = table_options(table="device", key="ts")
    other = replace(sensor(), schema="Ops", name="x")
    clash = table_options(table="Ops.x", key="ts", container="DEVICE")
    plan = plan_tables(
        [(sensor(), sensor_facts(), options, None), (other, sensor_facts(), clash, None)], source="s", target="t"
    )
    assert [len(t.problems) for t in plan.tables] == [0, 1]
    assert 'public.device uses the container "DEVICE" too' in plan.problems[0].message
    with pytest.raises(PlanError, match="one problem stops"):
        require_sound(plan)


def test_an_empty_split_table() -> None:
    plan = _plan(sensor_facts(values=(), rows=0))
    require_sound(plan)
    assert plan.containers == ()
    assert "no rows" in _text(plan, Severity.INFO)


def test_keeping_the_split_column() -> None:
    plan = _plan(keep_split_column=True)
    assert "device" in [c.target.name for c in plan.columns]
    assert SourceColumn("device", ReadAs.PLAIN) in plan.source_columns
    table = sensor(columns=(*sensor().columns, Column("at", TS)))
    refused = _plan(table=table, split_by="at", keep_split_column=True)
    assert "cannot both split the table and be stored" in _text(refused, Severity.PROBLEM)
    require_sound(_plan(table=table, split_by="at", keep_split_column=True, columns={"at": "string"}))


# What following will see


NO_IDENTITY = Publishing(
    "public", "device", Published.INSERTS, (), "public.device has no replica identity", "ALTER TABLE ... ;"
)


def _cdc(publishing: Publishing | None, *obstacles: Obstacle, table: Table | None = None, **changes: Any) -> TablePlan:
    options = _options(sync={"mode": "cdc"}, **changes)
    return plan_table(table or sensor(), sensor_facts(), options, ChangeAccess(publishing, obstacles))


def _keyed() -> Table:
    """The sensor table with a primary key, whose columns are never NULL."""
    columns = tuple(replace(c, nullable=c.nullable and c.name != "device") for c in sensor().columns)
    return sensor(columns=columns, keys=primary("device", "ts"))


def _all(*identity: str, unpublished: tuple[str, ...] = ()) -> Publishing:
    return Publishing("public", "device", Published.ALL, identity, unpublished=unpublished)


def test_cdc_without_a_replica_identity() -> None:
    plan = _cdc(NO_IDENTITY)
    assert "only inserts can be followed" in _text(plan, Severity.RISK)
    assert NO_IDENTITY.advice in _text(plan, Severity.RISK)
    assert _text(plan, Severity.PROBLEM) == ""


def test_cdc_with_a_key_that_is_not_the_replica_identity() -> None:
    table = _keyed()
    short = _cdc(_all("ts"), table=table, kind="collection")
    assert "does not carry the old device" in _text(short, Severity.PROBLEM)
    assert 'ALTER TABLE "public"."device" REPLICA IDENTITY FULL' in _text(short, Severity.PROBLEM)
    with pytest.raises(PlanError, match="one problem"):
        require_sound(short)
    same = _cdc(_all("device", "ts"), table=table, kind="collection")
    assert (_text(same, Severity.PROBLEM), _text(same, Severity.RISK)) == ("", "")


def test_cdc_of_keys_that_nothing_proves_unique() -> None:
    plan = _cdc(_all("ts", "device", "co"))
    assert "nothing proves that no two rows share a row key" in _text(plan, Severity.INFO)
    assert _text(plan, Severity.PROBLEM) == ""
    cut = _cdc(_all("ts", "device"), table=_keyed())
    assert "nothing proves that no two rows share a row key" in _text(cut, Severity.INFO)
    exact = _cdc(_all("ts", "device"), table=_keyed(), kind="collection")
    assert "nothing proves" not in _text(exact, Severity.INFO)
    aside = _cdc(_all("ts", "device", "co"), on_duplicate="quarantine")
    assert "set `on_duplicate: error`, `last` or `first`" in _text(aside, Severity.PROBLEM)


def test_cdc_of_a_generated_column_that_changes_do_not_hold() -> None:
    plan = _cdc(_all("device", "ts", unpublished=("temp",)), table=_keyed())
    assert "exclude: [temp]" in _text(plan, Severity.PROBLEM)


def test_cdc_where_the_source_does_not_allow_it_or_with_a_condition() -> None:
    plan = _cdc(None, Obstacle("it is a view", "leave it out"), where="co > 1")
    assert "it is a view" in _text(plan, Severity.PROBLEM)
    assert "`where` cannot be applied" in _text(plan, Severity.PROBLEM)


@pytest.mark.parametrize("mode", ["cdc", "watermark"])
def test_partitions_that_come_and_go_with_rows_in_them_are_told_as_a_risk(mode: str) -> None:
    options = _options(sync={"mode": mode})
    access = ChangeAccess(_all("device", "ts"))
    whole = plan_table(replace(_keyed(), relkind="p"), sensor_facts(), options, access)
    assert "DETACH" in _text(whole, Severity.RISK)
    assert "`gridferry repair`" in _text(whole, Severity.RISK)
    assert "DETACH" not in _text(plan_table(_keyed(), sensor_facts(), options, access), Severity.RISK)


def test_what_may_pass_by_itself_does_not_stop_the_load_before_it_was_met() -> None:
    passing = Obstacle("all senders are in use", "try again", passing=True)
    assert "all senders" in _text(_cdc(_all("device", "ts"), passing), Severity.PROBLEM)
    require_open(sensor(), ChangeAccess(None, (passing,)))
    with pytest.raises(PlanError) as refused:
        require_open(sensor(), ChangeAccess(None, (passing, Obstacle("no slot is free", "drop one"))))
    assert refused.value.problems == ("public.device: no slot is free (drop one)",)


def test_watermark_says_what_it_does_not_see() -> None:
    plan = _plan(sync={"mode": "watermark"})
    assert "updates and deletes in the source are not seen" in _text(plan, Severity.RISK)
    assert "no index begins with ts: each sync reads the whole table (3.0 MB" in _text(
        _plan(table=sensor(size_bytes=3 << 20), sync={"mode": "watermark"}), Severity.RISK
    )
    indexed = _plan(table=sensor(indexed=frozenset({"ts"})), sync={"mode": "watermark"})
    assert "no index" not in _text(indexed, Severity.RISK)
    blind = _plan(key="co", columns={"co": "string"}, sync={"mode": "watermark"})
    assert "does not know which column grows" in _text(blind, Severity.PROBLEM)


def test_watermark_on_a_named_column() -> None:
    named = _plan(key="co", columns={"co": "string"}, sync={"mode": "watermark", "column": "ts"})
    assert "no index begins with ts" in _text(named, Severity.RISK)


def test_collisions_are_asked_for_by_milliseconds_only_where_they_matter() -> None:
    def asked(**changes: object) -> str | None:
        request = profile_request(sensor(), _options(**changes)).key
        assert request is not None
        return request.truncate

    assert asked() == "ts"
    assert asked(kind="collection") is None
    assert asked(kind="collection", precision="truncate") == "ts"
    assert asked(columns={"ts": "timestamp(3)"}) is None
    assert asked(columns={"ts": "timestamp(3)"}, precision="truncate") == "ts"
    assert asked(columns={"ts": "string"}, precision="truncate") is None
    collection = _plan(sensor_facts(fine=3), kind="collection")
    assert collection.columns[0].target.type is GridType.TIMESTAMP_US


def test_generated_columns_are_mentioned() -> None:
    table = sensor(columns=(*sensor().columns, Column("sum", DOUBLE, generated=True)))
    assert "generated columns (sum)" in _text(_plan(table=table), Severity.INFO)


def test_problems_come_first_and_the_digest_ignores_counts() -> None:
    plan = _plan(sensor_facts(key=key_facts(4, 4)), precision="truncate")
    assert plan.findings[0].severity is Severity.PROBLEM
    assert plan.digest() == _plan(sensor_facts(rows=99, key=KeyProfile(("ts",))), precision="truncate").digest()
    assert plan.digest() != _plan().digest()
