"""The file that `init` writes can be read, and makes sensible choices."""

from __future__ import annotations

from tests.unit.plan.tables import BIGINT, TEXT, primary, sensor

from gridferry.model.table import Column, PgType
from gridferry.plan.config import parse_config
from gridferry.plan.init_file import render_config
from gridferry.plan.table_options import KeyWish

ENV = {"SOURCE_DSN": "postgresql://h/db"}


def test_the_file_can_be_read_and_is_explained() -> None:
    columns = (
        Column("id", BIGINT, nullable=False),
        Column("took", PgType("interval", "interval")),
        Column("note", TEXT),
    )
    odd = sensor(schema="Ops", name='a."b', columns=columns, keys=primary("id"))
    text = render_config([sensor(row_estimate=405184), odd])
    first, second = parse_config(text, env=ENV).tables
    assert (first.table_name, first.key, first.split_by) == ("device", KeyWish.GENERATED, None)
    assert (second.schema_name, second.table_name, second.key) == ("Ops", 'a."b', ())
    assert second.exclude == {}, "every type has a rule"
    assert "# about 405,184 rows" in text
    assert "# split_by: device    # one container for each value" in text
    assert "# key: [id]    # the primary key" in text
    assert text.count("split_by") == 1, "a table without a time has no devices to split by"


def test_the_suggested_line_is_good_yaml() -> None:
    text = render_config([sensor()]).replace("# split_by", "split_by")
    assert parse_config(text, env=ENV).tables[0].split_by == "device"


def test_split_by_is_suggested_for_few_values() -> None:
    table = sensor(columns=(*sensor().columns, Column("note", TEXT), Column("true", TEXT)))
    few = render_config([table], distinct={"public.device": {"device": 3, "note": 400_000, "true": 1}})
    assert "split_by: device    # one container for the 3 values" in few
    assert "split_by: note" not in few
    unknown = render_config([table])
    assert "split_by: note" in unknown
    assert 'split_by: "true"' in unknown


def test_no_key_and_no_time() -> None:
    table = sensor(columns=(Column("a", TEXT),))
    assert "key: generated    # there is no primary key" in render_config([table])


def test_whole_numbers_beside_a_time_are_suggested_too() -> None:
    columns = (Column("item", BIGINT, nullable=False), Column("clock", PgType("int4", "integer"), nullable=False))
    text = render_config([sensor(columns=columns, keys=primary("item", "clock"))])
    assert [line.strip() for line in text.splitlines() if "split_by" in line] == [
        "# split_by: item    # one container for each value"
    ]
    keyless = sensor(columns=columns, keys=(), indexed=frozenset({"item"}))
    assert "# split_by: item" in render_config([keyless])
    many = {"public.device": {"item": 10**7}}
    others = (
        render_config([sensor(columns=columns, keys=primary("item", "clock"))], distinct=many),
        render_config([sensor(columns=columns, keys=())]),
        render_config(
            [sensor(columns=(columns[0], Column("line", BIGINT, nullable=False)), keys=primary("item", "line"))]
        ),
    )
    assert not any("# split_by" in other for other in others)
