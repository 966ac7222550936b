"""What writers do to rows under mode cdc: everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.histories.shapes import Shape, quoted, value_of

if TYPE_CHECKING:
    from tests.histories.generator import Maker, Writer

NUMBERS = 7  # row numbers of a device; few, so that changes meet
BIG_ROWS = 500  # an eighth where they hold long texts: more than logical_decoding_work_mem, which is 64 kB


def insert_at(maker: Maker, writer: Writer, shape: Shape, *, device: int, number: int) -> None:
    """One row, unless there is one."""
    if not maker.lock(writer, (shape.name, device if shape.split else 0, number)):
        return
    conflict = " ON CONFLICT DO NOTHING" if shape.unique else ""
    values = shape.row(maker.random, device=device, number=number)
    maker.say(writer, "insert", f"INSERT INTO {shape.name} ({shape.names}) VALUES ({values}){conflict}")


def insert(maker: Maker, writer: Writer, shape: Shape) -> None:
    """A new row."""
    number = maker.fresh() if shape.inserts_only else maker.random.randrange(NUMBERS)
    insert_at(maker, writer, shape, device=maker.device(), number=number)


def place_of(maker: Maker, writer: Writer, shape: Shape) -> tuple[int, int] | None:
    """A row's place that the writer may touch."""
    device, number = maker.device() if shape.split else 0, maker.random.randrange(NUMBERS)
    return (device, number) if maker.lock(writer, (shape.name, device, number)) else None


def update(maker: Maker, writer: Writer, shape: Shape) -> None:
    """Some columns of one row get other values; seldom the long text, so that it is not sent."""
    place = place_of(maker, writer, shape)
    if place is None:
        return
    columns = [*shape.columns, *maker.added.get(shape.name, [])]
    chosen = maker.random.sample(columns, maker.random.randrange(1, len(columns) + 1))
    values = [f"{name} = {value_of(maker.random, kind)}" for name, kind in chosen]
    if shape.big and maker.random.random() < 0.25:
        values.append(f"{shape.big} = {shape.big_value(maker.random)}")
    maker.say(writer, "update", f"UPDATE {shape.name} SET {', '.join(values)} WHERE {shape.where(*place)}")


def update_nothing(maker: Maker, writer: Writer, shape: Shape) -> None:
    """An update that changes no value."""
    place = None if shape.inserts_only else place_of(maker, writer, shape)
    where = "false" if place is None else shape.where(*place)  # even of no row it needs a replica identity
    if place is None and writer.open:
        writer.locks.add((shape.name, "nothing"))  # no row, but the table: an ALTER TABLE would wait for it
    maker.say(writer, "no-op update", f"UPDATE {shape.name} SET n = n WHERE {where}")


def move(maker: Maker, writer: Writer, shape: Shape) -> None:
    """A row gets another key, device, or both."""
    place = place_of(maker, writer, shape)
    if place is None:
        return
    device = maker.device() if shape.split and maker.random.random() < 0.6 else place[0]
    number = maker.random.randrange(NUMBERS) if device == place[0] or maker.random.random() < 0.5 else place[1]
    if (device, number) == place or not maker.lock(writer, (shape.name, device, number)):
        return
    sets = [f"device = {quoted(device)}"] if device != place[0] else []
    if number != place[1]:
        sets += [f"{n} = {v}" for n, v in zip(shape.key_names, shape.key_values(number), strict=True)]
    if maker.random.random() < 0.3:
        sets.append(f"n = {maker.random.randrange(1000)}")
    kind = "split change" if device != place[0] else "key change"
    free = f"NOT EXISTS (SELECT FROM {shape.name} WHERE {shape.where(device, number)})"
    maker.say(writer, kind, f"UPDATE {shape.name} SET {', '.join(sets)} WHERE {shape.where(*place)} AND {free}")


def delete(maker: Maker, writer: Writer, shape: Shape) -> None:
    """A row goes."""
    place = place_of(maker, writer, shape)
    if place is not None:
        maker.say(writer, "delete", f"DELETE FROM {shape.name} WHERE {shape.where(*place)}")


def replace(maker: Maker, writer: Writer, shape: Shape) -> None:
    """A row goes, and another takes its key."""
    place = place_of(maker, writer, shape)
    if place is None:
        return
    maker.say(writer, "reinsert", f"DELETE FROM {shape.name} WHERE {shape.where(*place)}")
    values = shape.row(maker.random, device=place[0], number=place[1])
    maker.say(writer, "reinsert", f"INSERT INTO {shape.name} ({shape.names}) VALUES ({values}) ON CONFLICT DO NOTHING")


def insert_many(maker: Maker, writer: Writer, shape: Shape, *, back: bool | None = None) -> None:
    """So many rows that the transaction is streamed while it is open; now and then they are taken back."""
    first = maker.counter + 1
    maker.counter += BIG_ROWS // 8 if shape.big else BIG_ROWS
    device = maker.device() if shape.split else 0
    if not maker.lock(writer, (shape.name, device, "many")):
        return
    values = shape.row(maker.random, device=device, number="g")
    source = f"SELECT {values} FROM generate_series({first}, {maker.counter}) AS g"
    back = writer.open and maker.random.random() < 0.4 if back is None else back
    if back:
        maker.say(writer, "savepoint", "SAVEPOINT many")
    maker.say(writer, "big insert", f"INSERT INTO {shape.name} ({shape.names}) {source}")
    if back:
        maker.say(writer, "back", "ROLLBACK TO SAVEPOINT many")


def delete_many(maker: Maker, writer: Writer, shape: Shape) -> None:
    """All rows of a device go."""
    device = maker.device() if shape.split else 0
    if maker.lock(writer, *((shape.name, device, i) for i in (*range(NUMBERS), "many"))):
        where = f"device = {quoted(device)}" if shape.split else "true"
        maker.say(writer, "big delete", f"DELETE FROM {shape.name} WHERE {where}")


_Change = Callable[["Maker", "Writer", Shape], None]
INSERTS: tuple[tuple[int, _Change], ...] = ((10, insert), (1, update_nothing), (1, insert_many))
CHANGES: tuple[tuple[int, _Change], ...] = (
    (9, insert), (9, update), (1, update_nothing), (5, move), (5, delete), (2, replace), (1, insert_many),
    (1, delete_many),
)  # fmt: skip
