"""Statements of SQLAlchemy in GridDB's words, and what is refused by name."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

sqlalchemy = pytest.importorskip("sqlalchemy", reason="the extra sqlalchemy is not installed")

from sqlalchemy import exc, schema  # noqa: E402
from sqlalchemy import types as sa  # noqa: E402
from sqlalchemy.engine.url import make_url  # noqa: E402

from gridferry.griddb.dialect import TIMESTAMP, GridDBDialect  # noqa: E402

DIALECT = GridDBDialect(paramstyle="qmark")
META = sqlalchemy.MetaData()
T = sqlalchemy.Table(
    "Reading",
    META,
    sqlalchemy.Column("id", sa.BigInteger, primary_key=True),
    sqlalchemy.Column("ts", sa.DateTime, nullable=False),
    sqlalchemy.Column("key", sa.String(20)),
    sqlalchemy.Column("v", sa.Integer),
)


def text(statement: Any) -> str:
    return " ".join(str(statement.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})).split())


def made(*columns: Any, name: str = "t") -> str:
    return text(schema.CreateTable(sqlalchemy.Table(name, sqlalchemy.MetaData(), *columns)))


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (sa.SmallInteger(), "SHORT"),
        (sa.Integer(), "INTEGER"),
        (sa.BigInteger(), "LONG"),
        (sa.REAL(), "FLOAT"),
        (sa.Float(), "DOUBLE"),
        (sa.Float(precision=24), "FLOAT"),
        (sa.Double(), "DOUBLE"),
        (sa.Boolean(), "BOOL"),
        (sa.String(7), "STRING"),
        (sa.Text(), "STRING"),
        (sa.Unicode(), "STRING"),
        (sa.JSON(), "STRING"),
        (sa.Uuid(), "STRING"),
        (sa.Enum("a", "b"), "STRING"),
        (sa.LargeBinary(), "BLOB"),
        (sa.DateTime(), "TIMESTAMP(6)"),
        (sa.Date(), "TIMESTAMP(3)"),
        (TIMESTAMP(), "TIMESTAMP(3)"),
        (TIMESTAMP(9), "TIMESTAMP(9)"),
    ],
    ids=repr,
)
def test_every_type_has_one_of_griddb(kind: sa.TypeEngine[Any], label: str) -> None:
    assert made(sqlalchemy.Column("c", kind)) == f"CREATE TABLE t ( c {label} )"


@pytest.mark.parametrize("kind", [sa.Numeric(10, 2), sa.DECIMAL(), sa.Time()], ids=repr)
def test_a_type_that_griddb_does_not_have_is_refused_by_name(kind: sa.TypeEngine[Any]) -> None:
    with pytest.raises(exc.CompileError, match="GridDB has no"):
        made(sqlalchemy.Column("c", kind))


def test_a_table_its_key_and_names_that_need_quotes() -> None:
    assert text(schema.CreateTable(T)) == (
        'CREATE TABLE "Reading" ( id LONG NOT NULL, ts TIMESTAMP(6) NOT NULL, "key" STRING, v INTEGER, '
        "PRIMARY KEY (id) )"
    )
    with pytest.raises(exc.CompileError, match="put b, a first in t"):
        made(
            sqlalchemy.Column("a", sa.Integer),
            sqlalchemy.Column("b", sa.Integer),
            sqlalchemy.PrimaryKeyConstraint("b", "a"),
        )
    for wish in ({"server_default": "1"}, {"server_default": sqlalchemy.Identity()}):
        with pytest.raises(exc.CompileError, match="no default of the server"):
            made(sqlalchemy.Column("a", sa.Integer, **wish))


def test_rules_that_griddb_does_not_keep_are_left_out_and_told() -> None:
    meta = sqlalchemy.MetaData()
    sqlalchemy.Table("parent", meta, sqlalchemy.Column("id", sa.Integer, primary_key=True))
    child = sqlalchemy.Table(
        "child",
        meta,
        sqlalchemy.Column("id", sa.Integer, sqlalchemy.ForeignKey("parent.id"), primary_key=True),
        sqlalchemy.Column("n", sa.Integer, sqlalchemy.CheckConstraint("n > 0"), unique=True),
    )
    with pytest.warns(exc.SAWarning) as warned:
        said = text(schema.CreateTable(child))
    assert said == "CREATE TABLE child ( id INTEGER NOT NULL, n INTEGER, PRIMARY KEY (id) )"
    words = " ".join(str(each.message) for each in warned)
    for rule in ("a foreign key of child", "a unique constraint of child", "a check constraint of child"):
        assert rule in words


def test_pages_have_their_numbers_in_the_text() -> None:
    query = sqlalchemy.select(T.c.id).order_by(T.c.id)
    assert text(query.limit(5).offset(2)).endswith('ORDER BY "Reading".id LIMIT 5 OFFSET 2')
    assert text(query.offset(2)).endswith(f"LIMIT {2**63 - 1} OFFSET 2")
    with pytest.raises(exc.CompileError, match="plain numbers"):
        text(query.limit(sqlalchemy.func.length("abc")))


def test_expressions_that_other_databases_write_otherwise() -> None:
    assert "NOW()" in text(sqlalchemy.select(sqlalchemy.func.now()))
    assert "/ CAST(? AS DOUBLE)" in text(sqlalchemy.select(T.c.v / 2))
    assert '"Reading".v % ?' in text(sqlalchemy.select(T.c.v % 2))
    assert "TRUE" in text(sqlalchemy.select(sqlalchemy.true()))
    assert text(sqlalchemy.select(T.c.v).with_for_update()).endswith('FROM "Reading"')
    with pytest.raises(exc.CompileError, match="no RETURNING"):
        text(T.insert().returning(T.c.id))


def test_indexes() -> None:
    index = sqlalchemy.Index("by_ts", T.c.ts)
    try:
        assert text(schema.CreateIndex(index)) == 'CREATE INDEX by_ts ON "Reading" (ts)'
        assert text(schema.DropIndex(index, if_exists=True)) == 'DROP INDEX IF EXISTS by_ts ON "Reading"'
    finally:
        T.indexes.discard(index)
    other = sqlalchemy.Index("u", sqlalchemy.Table("o", sqlalchemy.MetaData(), sqlalchemy.Column("a", sa.Integer)).c.a)
    other.unique = True
    with pytest.raises(exc.CompileError, match="no unique indexes"):
        text(schema.CreateIndex(other))


@pytest.mark.parametrize(
    ("url", "address", "given"),
    [
        ("griddb+gridferry://h:1/c", "griddb://h:1/c", {}),
        ("griddb+gridferry://u%40x:p%2Fw@h:10001/c/db?sslmode=disable",
         "griddb://u%40x@h:10001/c/db?sslmode=disable", {"password": "p/w"}),
        ("griddb://u:@[::1]:10001/c", "griddb://u@[::1]:10001/c", {"password": ""}),
        ("griddb://u:p@/c/db?host=a:1,b:2&timeout_s=2.5", "griddb://u@a:1,b:2/c/db",
         {"password": "p", "timeout_s": 2.5}),
    ],
)  # fmt: skip
def test_the_address_of_a_url(url: str, address: str, given: dict[str, Any]) -> None:
    assert DIALECT.create_connect_args(make_url(url)) == ([address], given)


def test_an_option_that_is_no_number_is_refused() -> None:
    with pytest.raises(exc.ArgumentError, match="timeout_s is a number of seconds"):
        DIALECT.create_connect_args(make_url("griddb://h:1/c?timeout_s=soon"))
    with pytest.raises(exc.ArgumentError, match="3, 6 or 9 digits"):
        TIMESTAMP(4)


def test_times_come_as_the_type_says() -> None:
    at = dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=dt.timezone.utc)
    for kind, expected in ((sa.DateTime(), at.replace(tzinfo=None)), (sa.Date(), at.date())):
        process = kind.dialect_impl(DIALECT).result_processor(DIALECT, None)
        assert process is not None
        assert process(at) == expected
        assert process(None) is None
    assert sa.DateTime(timezone=True).dialect_impl(DIALECT).result_processor(DIALECT, None) is None
    bind = sa.Date().dialect_impl(DIALECT).bind_processor(DIALECT)
    assert bind is not None
    assert bind(dt.date(2024, 1, 2)) == dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc)
    assert bind(None) is None


def test_it_is_found_by_its_name() -> None:
    engine = sqlalchemy.create_engine("griddb+gridferry://u:p@h:1/c")
    assert isinstance(engine.dialect, GridDBDialect)
    assert isinstance(sqlalchemy.create_engine("griddb://u:p@h:1/c").dialect, GridDBDialect)
    with pytest.raises(exc.ArgumentError, match="no transactions"):
        engine.dialect.set_isolation_level(None, "SERIALIZABLE")
