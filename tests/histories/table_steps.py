"""What needs a table alone: TRUNCATE, added columns, and changes that the target need not know."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.histories.shapes import Shape, value_of

if TYPE_CHECKING:
    from tests.histories.generator import Maker, Writer

ADDED_KINDS = ("integer", "text", "boolean", "double precision", "timestamp without time zone", "numeric(14,4)")


def alone(maker: Maker) -> tuple[Writer, Shape] | None:
    """A writer that is in no transaction, and a table that no open one has touched."""
    shape = maker.shape()
    writer = next((w for w in maker.writers if not w.open), None)
    return (writer, shape) if writer is not None and maker.free(shape) else None


def truncate(maker: Maker) -> None:
    """A table is emptied, among other changes, and now and then it was not after all."""
    found = alone(maker)
    if found is None:
        return
    writer, shape = found
    aborted = maker.random.random() < 0.4
    writer.open = True
    maker.say(writer, "begin", "BEGIN")
    write_some(maker, writer)
    tables = ", ".join(s.name for s in maker.shapes if s is shape or maker.free(s))
    maker.say(writer, "truncate aborted" if aborted else "truncate", f"TRUNCATE {tables}")
    write_some(maker, writer)
    maker.say(writer, "abort" if aborted else "commit", "ROLLBACK" if aborted else "COMMIT")
    writer.open = False
    writer.locks.clear()


def write_some(maker: Maker, writer: Writer) -> None:
    """None to two changes."""
    for _ in range(maker.random.randrange(3)):
        maker.write(writer)


def add_column(maker: Maker) -> None:
    """A table gets a column, among other changes."""
    found = alone(maker)
    if found is None or len(maker.added.get(found[1].name, [])) >= 3:
        return
    writer, shape = found
    aborted = maker.random.random() < 0.25
    maker.unheard = True
    kind = maker.random.choice(ADDED_KINDS)
    name = f"added{len(maker.steps)}"
    default = maker.random.choice(("", " DEFAULT {}", " NOT NULL DEFAULT {}", " DEFAULT {}"))
    value = default.format(_value(maker.random, kind))
    writer.open = True
    maker.say(writer, "begin", "BEGIN")
    write_some(maker, writer)
    what = "column added, aborted" if aborted else "column with default" if default else "column added"
    maker.say(writer, what, f"ALTER TABLE {shape.name} ADD COLUMN {name} {kind}{value}")
    write_some(maker, writer)
    maker.say(writer, "abort" if aborted else "commit", "ROLLBACK" if aborted else "COMMIT")
    writer.open = False
    writer.locks.clear()
    if not aborted and "NOT NULL" not in default:
        maker.added.setdefault(shape.name, []).append((name, kind))


def alter(maker: Maker) -> None:
    """A change of the table that the target need not know."""
    found = alone(maker)
    if found is None:
        return
    writer, shape = found
    statement = maker.random.choice(
        (
            f"ALTER TABLE {shape.name} ALTER COLUMN n SET DEFAULT 7",
            f"ALTER TABLE {shape.name} ADD CHECK (n IS NULL OR n > -9223372036854775808 OR n < 0)",
            f"CREATE INDEX ON {shape.name} (n)",
            f"VACUUM FULL {shape.name}",
            f"ALTER TABLE {shape.name} ALTER COLUMN n SET STATISTICS 10",
            f"ANALYZE {shape.name}",
            f"VACUUM {shape.name}",
        )
    )
    maker.say(writer, "alter", statement)


def _value(r: random.Random, kind: str) -> str:
    """A value that is not NULL; for numbers now and then one that differs from row to row."""
    if kind == "integer" and r.random() < 0.4:
        return "(random() * 1000)::integer"
    value = "NULL"
    while value == "NULL":
        value = value_of(r, kind)
    return value
