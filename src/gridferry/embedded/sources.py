"""What a statement reads: the committed rows of containers, or those with one transaction's changes laid over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from gridferry.embedded.catalog import Container
from gridferry.embedded.shape import NUMBER, Shape, shape_of


@dataclass(frozen=True)
class Source:
    """A FROM item with the columns of `shape`, and the Arrow tables it names."""

    shape: Shape
    sql: str
    tables: dict[str, pa.Table] = field(default_factory=dict)


def committed(container: Container) -> Source:
    """The rows of one container."""
    shape = shape_of(container.schema)
    return Source(shape, f"(SELECT * FROM {shape.table} WHERE {NUMBER} = {container.number})")


def committed_in(containers: Sequence[Container]) -> Source:
    """The rows of many containers of one shape."""
    shape = shape_of(containers[0].schema)
    wanted = pa.table({NUMBER: pa.array({c.number: None for c in containers}, pa.int64())})
    sql = f"(SELECT * FROM {shape.table} WHERE {NUMBER} IN (SELECT {NUMBER} FROM wanted_containers))"
    return Source(shape, sql, {"wanted_containers": wanted})


def overlaid(container: Container, *, gone: pa.Table, rows: pa.Table) -> Source:
    """The container without the rows whose identity is in `gone` (column `identity`), and with `rows`."""
    shape = shape_of(container.schema)
    names = ", ".join(shape.names)
    sql = (
        f"(SELECT {names} FROM {shape.table} WHERE {NUMBER} = {container.number}"
        f" AND {shape.identity} NOT IN (SELECT identity FROM overlay_gone)"
        f" UNION ALL SELECT {names} FROM overlay_rows)"
    )
    return Source(shape, sql, {"overlay_gone": gone, "overlay_rows": rows})
