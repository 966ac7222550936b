"""SQLAlchemy and pandas on a server: every type, the ORM, reflection, frames out and in."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.conftest import Server

sqlalchemy = pytest.importorskip("sqlalchemy", reason="the extra sqlalchemy is not installed")

from sqlalchemy import orm  # noqa: E402
from sqlalchemy import types as sa  # noqa: E402

from gridferry.griddb.dialect import TIMESTAMP  # noqa: E402

AT = dt.datetime(2024, 1, 2, 3, 4, 5, 678901)
VALUES: dict[str, tuple[sa.TypeEngine[Any], Any]] = {
    "h": (sa.SmallInteger(), -(2**15)),
    "i": (sa.Integer(), 2**31 - 1),
    "f": (sa.REAL(), 0.5),
    "d": (sa.Double(), 0.1),
    "ok": (sa.Boolean(), True),
    "s": (sa.String(), "größe ' \" ? :x %"),
    "o": (sa.LargeBinary(), bytes(range(256))),
    "ts": (sa.DateTime(), AT),
    "tz": (sa.DateTime(timezone=True), AT.replace(tzinfo=dt.timezone.utc)),
    "ms": (TIMESTAMP(), AT.replace(microsecond=678000)),
    "day": (sa.Date(), AT.date()),
    "j": (sa.JSON(), {"a": [1, None, "x"]}),
    "u": (sa.Uuid(), uuid.UUID(int=7)),
}


@pytest.fixture(scope="module")
def engine(server: Server) -> Iterator[Any]:
    address = server.address
    host, port = (address.sql or address.members)[0]
    made = sqlalchemy.create_engine(
        f"griddb+gridferry://{address.user}:{address.password}@{host}:{port}/{address.cluster}/{address.database}"
        "?sslmode=disable"
    )
    yield made
    made.dispose()


@pytest.fixture
def meta(engine: Any) -> Iterator[Any]:
    """Tables that are dropped in the end."""
    found = sqlalchemy.MetaData()
    yield found
    found.drop_all(engine)


def name() -> str:
    return f"sa_{uuid.uuid4().hex[:10]}"


def typed(meta: Any) -> Any:
    columns = [sqlalchemy.Column(name, kind) for name, (kind, _) in VALUES.items()]
    return sqlalchemy.Table(name(), meta, sqlalchemy.Column("id", sa.BigInteger, primary_key=True), *columns)


def test_every_type_goes_in_comes_back_and_finds_its_row(engine: Any, meta: Any) -> None:
    table = typed(meta)
    meta.create_all(engine)
    row = {name: value for name, (_, value) in VALUES.items()}
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": 1, **row}, {"id": 2, **dict.fromkeys(row)}])
        found = connection.execute(sqlalchemy.select(table).order_by(table.c.id)).mappings().all()
        assert dict(found[0]) == {"id": 1, **row}
        assert {value for name, value in found[1].items() if name not in ("id", "j")} == {None}
        for column in ("h", "i", "d", "ok", "s", "ts", "tz", "ms", "day", "u"):
            query = sqlalchemy.select(table.c.id).where(table.c[column] == row[column])
            assert connection.execute(query).scalars().all() == [1], column


def test_pages_sets_updates_and_deletes(engine: Any, meta: Any) -> None:
    table = typed(meta)
    meta.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": n, "i": n % 3} for n in range(2500)])
        ids = sqlalchemy.select(table.c.id).order_by(table.c.id)
        assert connection.execute(ids.limit(3).offset(2)).scalars().all() == [2, 3, 4]
        assert connection.execute(ids.offset(2498)).scalars().all() == [2498, 2499]
        assert connection.execute(ids.where(table.c.id.in_([5, 7, 9999]))).scalars().all() == [5, 7]
        assert connection.execute(ids.where(table.c.id.in_([]))).scalars().all() == []
        counts = sqlalchemy.select(table.c.i, sqlalchemy.func.count()).group_by(table.c.i).order_by(table.c.i)
        assert connection.execute(counts).all() == [(0, 834), (1, 833), (2, 833)]
        halves = sqlalchemy.select(table.c.i / 2, table.c.i // 2, table.c.id % 2).where(table.c.id == 5)
        assert [float(value) for value in connection.execute(halves).one()] == [1.0, 1.0, 1.0]
        assert connection.execute(table.update().where(table.c.id == 3).values(s="new")).rowcount == 1
        assert connection.execute(table.delete().where(table.c.id > 9)).rowcount == 2490
        assert connection.execute(sqlalchemy.select(table.c.s).where(table.c.id == 3)).scalar_one() == "new"
        assert len(connection.execute(sqlalchemy.select(table)).all()) == 10


def test_reflection_finds_what_was_made(engine: Any, meta: Any) -> None:
    table = typed(meta)
    sqlalchemy.Index(f"{table.name}_s", table.c.s)
    meta.create_all(engine)
    inspector = sqlalchemy.inspect(engine)
    assert table.name in inspector.get_table_names()
    assert inspector.has_table(table.name.upper())
    assert not inspector.has_table("no_such_table")
    assert inspector.get_pk_constraint(table.name)["constrained_columns"] == ["id"]
    assert inspector.get_indexes(table.name) == [
        {"name": f"{table.name}_s", "column_names": ["s"], "unique": False}
    ]  # fmt: skip
    found = sqlalchemy.Table(table.name, sqlalchemy.MetaData(), autoload_with=engine)
    assert [c.name for c in found.columns] == ["id", *VALUES]
    assert [c.nullable for c in found.columns][:2] == [False, True]
    assert (found.c.ms.type.precision, found.c.ts.type.precision) == (3, 6)
    assert isinstance(found.c.d.type, sa.Double)
    with pytest.raises(sqlalchemy.exc.NoSuchTableError):
        sqlalchemy.Table("no_such_table", sqlalchemy.MetaData(), autoload_with=engine)


def test_a_view_is_reflected(engine: Any, meta: Any) -> None:
    table, view = typed(meta), name()
    meta.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE VIEW {view} AS SELECT id, ts FROM {table.name}")
        try:
            inspector = sqlalchemy.inspect(connection)
            assert view in inspector.get_view_names()
            assert view not in inspector.get_table_names()
            assert [column["name"] for column in inspector.get_columns(view)] == ["id", "ts"]
            assert table.name in inspector.get_view_definition(view)
        finally:
            connection.exec_driver_sql(f"DROP VIEW {view}")


def test_objects_are_stored_changed_and_deleted(engine: Any) -> None:
    class Base(orm.DeclarativeBase):
        pass

    class Device(Base):
        __tablename__ = name()
        id: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
        label: orm.Mapped[str]

    Base.metadata.create_all(engine)
    try:
        with orm.Session(engine) as session:
            session.add_all([Device(id=1, label="a"), Device(id=2, label="b")])
            session.commit()
            device = session.get(Device, 1)
            assert device is not None
            device.label = "c"
            session.commit()
            assert session.scalars(sqlalchemy.select(Device.label).order_by(Device.id)).all() == ["c", "b"]
            session.delete(device)
            session.commit()
            assert session.scalars(sqlalchemy.select(Device.id)).all() == [2]
    finally:
        Base.metadata.drop_all(engine)


def test_a_frame_of_pandas_goes_in_and_comes_back(engine: Any, meta: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(
        {"id": range(1500), "x": [n / 7 for n in range(1500)], "s": ["a", None, "ü"] * 500, "at": [AT] * 1500}
    )
    table = name()
    try:
        frame.to_sql(table, engine, index=False)
        frame.head(3).assign(id=[5000, 5001, 5002]).to_sql(table, engine, index=False, if_exists="append")
        back = pandas.read_sql_table(table, engine).sort_values("id", ignore_index=True)
        assert len(back) == 1503
        assert back["x"].tolist()[:1500] == frame["x"].tolist()
        assert back["s"][:3].tolist()[::2] == ["a", "ü"]
        assert back["at"][0].to_pydatetime() == AT
        sums = pandas.read_sql(f"SELECT count(*) AS n, max(id) AS last FROM {table}", engine)
        assert sums.to_dict("records") == [{"n": 1503, "last": 5002}]
    finally:
        meta.reflect(engine, only=[table])


def test_errors_are_those_of_sqlalchemy(engine: Any, meta: Any) -> None:
    table = typed(meta)
    meta.create_all(engine)
    with engine.connect() as connection:
        connection.execute(table.insert(), {"id": 1})
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            connection.execute(table.insert(), {"id": 1})
        with pytest.raises(sqlalchemy.exc.ProgrammingError):
            connection.exec_driver_sql("SELECT * FROM no_such_table")
        assert connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar_one() == 1
