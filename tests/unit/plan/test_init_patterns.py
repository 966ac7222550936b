"""The file that `init` writes for very many tables: short, read as it is, and what cannot be taken has its reason."""

from __future__ import annotations

from tests.unit.plan.tables import BIGINT, TEXT, TS, primary

from gridferry.model.table import Column, PgType, Table, TableName, TablesLeftOut
from gridferry.plan.config import Config, parse_config
from gridferry.plan.epoch_advice import CountedTime
from gridferry.plan.init_patterns import render_patterns
from gridferry.plan.names import naming_template
from gridferry.plan.table_options import KeyWish

ENV = {"SOURCE_DSN": "postgresql://h/db"}


def table(
    name: str, schema: str = "public", *, more: tuple[Column, ...] = (), keyed: bool = True, **changes: object
) -> Table:
    columns = (Column("id", BIGINT, nullable=False), *more)
    fields = {"schema": schema, "name": name, "relkind": "r", "columns": columns, "row_estimate": 10}
    return Table(**{**fields, "keys": primary("id") if keyed else (), **changes})  # type: ignore[arg-type]


def rendered(
    *tables: Table, blocked: tuple[Table, ...] = (), names: list[TableName] | None = None
) -> tuple[str, Config]:
    found = [TableName(t.schema, t.name) for t in (*tables, *blocked)] if names is None else names
    text = render_patterns(tables, names=found, blocked=blocked)
    config = parse_config(text, env=ENV).meaning(found)
    assert not config.warnings
    return text, config


def test_plain_tables_are_one_line_a_schema() -> None:
    tables = [*(table(f"t{n}") for n in range(100)), table("a", "Odd.schema"), table("b", "Odd.schema")]
    text, config = rendered(*tables)
    assert {o.full_name for o in config.tables} == {(t.schema, t.name) for t in tables}
    entries = [line for line in text.splitlines() if line.startswith("  - table")]
    assert len(entries) == 2
    assert "public.*" in entries[1]
    assert "# 100 tables, about 1,000 rows" in entries[1]


def test_tables_with_options_of_their_own_have_an_entry() -> None:
    odd = table("odd", more=(Column("took", PgType("interval", "interval"), readable=False),))
    device = table("reading", more=(Column("device", TEXT, nullable=False), Column("ts", TS, nullable=False)))
    device = table("reading", more=device.columns[1:], keys=primary("device", "ts"))
    text, config = rendered(*(table(f"t{n}") for n in range(9)), odd, device)
    single = {o.table_name: o for o in parse_config(text, env=ENV).tables}
    assert set(single) == {"odd", "reading"}
    assert single["odd"].exclude == {"took": None}
    assert "# split_by: device    # one container for each value" in text
    assert len(config.tables) == 11


def test_readings_whose_time_is_a_number_have_an_entry_that_says_how_to_make_times_of_it() -> None:
    names = ("item", "clock", "ns")
    columns = tuple(Column(name, BIGINT, nullable=False) for name in names)
    history = Table("public", "history", "r", (*columns, Column("value", TEXT)), primary(*names))
    counted = CountedTime("clock: {type: timestamp(3), from: epoch_s}", "seconds since 1970: 2024-01-01 to 2024-02-01")
    tables = [*(table(f"t{n}") for n in range(9)), history]
    found = [TableName(t.schema, t.name) for t in tables]
    text = render_patterns(tables, names=found, times={"public.history": (counted,)})
    entry = text[text.index("  - table: public.history") :].splitlines()
    assert [line.partition("    #  ")[0] for line in entry[2:]] == [
        "    # split_by: item    # one container for each value",
        f"    # columns: {{{counted.wish}}}    # numbers that look like times, {counted.counts}",
    ]
    wished = "\n".join(line.replace("    # ", "    ", 1) for line in entry[1:])
    (options,) = (o for o in parse_config(f"{text}{wished}\n", env=ENV).tables if o.table_name == "history")
    assert (options.split_by, list(options.columns)) == ("item", ["clock"])


def test_what_cannot_be_taken_is_out_with_its_reason() -> None:
    log = table("log", more=(Column("at", TS),), keyed=False)
    bad = table("bad", more=(Column("span", BIGINT, nullable=False, readable=False),), keys=primary("span"))
    secret = table(
        "s\necret", blocked='the role r may not read the table public.secret\nGRANT SELECT ON "secret" TO "r";'
    )
    text, config = rendered(
        *(table(f"t{n}") for n in range(9)), log, bad, table("nokey", keyed=False), blocked=(secret,)
    )
    made = {o.table_name: o.key for o in config.tables}
    assert made == {**{f"t{n}": () for n in range(9)}, "log": KeyWish.GENERATED, "nokey": KeyWish.GENERATED}
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "- bad # this role may not read its key: span" in lines
    assert any(
        'the role r may not read the table public.secret: GRANT SELECT ON "secret" TO "r";' in line for line in lines
    )


def test_containers_do_not_clash() -> None:
    names = ["orders", "Orders", "sales_orders", "gridferry_state"]
    _, config = rendered(*(table(name) for name in names), table("orders", "sales"), table("x", "sales"))
    made = [
        naming_template(o.container, schema=o.schema_name, table=o.table_name, split_by=None).lower()
        for o in config.tables
    ]
    assert len(config.tables) == 6
    assert len(set(made)) == 6
    assert not any(name.startswith("gridferry_") for name in made)


def test_parts_of_a_table_that_cannot_be_read_stand_for_themselves() -> None:
    whole = table("whole", relkind="p", blocked="the role r may not read it\nGRANT;")
    part = table("part")
    found = [TableName("public", name) for name in ("whole", "t1")]
    _, config = rendered(table("t1"), part, table("lost", keyed=False), blocked=(whole,), names=found)
    assert {o.table_name for o in config.tables} == {"t1", "part", "lost"}


def test_a_schema_of_entries_only_has_its_pattern_for_what_comes() -> None:
    text, _ = rendered(table("t1"), table("odd", "shop", more=(Column("took", PgType("interval", "interval")),)))
    later = parse_config(text, env=ENV).meaning(
        [TableName("public", "t1"), TableName("shop", "odd"), TableName("shop", "n")]
    )
    assert ("shop", "n") in {o.full_name for o in later.tables}


def test_what_is_left_out_is_told() -> None:
    left_out = [TablesLeftOut(("public.p1", "public.p2"), "their rows come with public.p")]
    text = render_patterns([table("p")], names=[TableName("public", "p")], left_out=left_out)
    assert "#   public.p1, public.p2: their rows come with public.p" in text
