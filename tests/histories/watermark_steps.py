"""What writers do under mode watermark: rows are only added, in order or late, and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.histories.shapes import EPOCH, Shape

if TYPE_CHECKING:
    from tests.histories.generator import Maker, Writer

LATE_S = 13 * 60  # less than the lookback
LATE_VALUES = 60
BACK_S = 86_400  # a clock set back by so much needs a sweep


def insert(maker: Maker, shape: Shape, writer: Writer) -> None:
    """A row, in order, late within the lookback, or now and then later than that: then a sweep has to come."""
    r = maker.random
    late = r.choice((0, 0, 0, r.random()))
    back = maker.mode == "watermark" and r.random() < 0.03
    maker.sweep_due = maker.sweep_due or back
    device = maker.device() if shape.split else 0
    kind = "clock set back" if back else "late row" if late else "insert"
    if shape.growing == "k":
        steps = 3 if shape.key == "microseconds" else 1  # row numbers of a second
        number = (maker.clock_s - int(late * LATE_S) - back * BACK_S) * steps
        while (shape.name, device, number) in maker.used:
            number -= 1
        growing = ""
    else:
        number = maker.fresh()
        growing = f"{maker.clock_s + maker.counter - int(late * LATE_VALUES) - back * BACK_S}"
        if shape.growing == "at":
            seconds = maker.clock_s - int(late * LATE_S) - back * BACK_S
            growing = f"{EPOCH} + interval '{seconds} seconds {maker.counter % 1000000} microseconds'"
            growing = "NULL" if r.random() < 0.05 else growing
    maker.used.add((shape.name, device, number))
    values = shape.row(r, device=device, number=number, growing=growing)
    maker.say(writer, kind, f"INSERT INTO {shape.name} ({shape.names}) VALUES ({values})")


def insert_some(maker: Maker) -> None:
    """A few rows by one writer."""
    writer, shape = maker.writer(), maker.shape()
    for _ in range(maker.random.randrange(1, 6)):
        insert(maker, shape, writer)
