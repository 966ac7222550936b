"""What the source tests share: short plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gridferry.griddb.schema import ColumnSpec, ContainerKind, GridType
from gridferry.plan.plan import ColumnPlan, Fidelity, Kernel, ReadAs, TablePlan

PlanMaker = Callable[..., TablePlan]


def make_plan(table: str, columns: str | dict[str, ReadAs], *, schema: str = "public", **options: Any) -> TablePlan:
    """A plan that reads `columns` (names with blanks between, all plain; or each with how it is read)."""
    wanted = dict.fromkeys(columns.split(), ReadAs.PLAIN) if isinstance(columns, str) else columns
    planned = tuple(
        ColumnPlan(name, "", ColumnSpec(f"c{i}", GridType.STRING), read_as, Kernel.TEXT, Fidelity.EXACT, "")
        for i, (name, read_as) in enumerate(wanted.items())
    )
    options.setdefault("key", ())
    return TablePlan(
        schema, table, planned, ContainerKind.COLLECTION, key_length=len(options["key"]), containers=(), **options
    )


@pytest.fixture
def plan() -> PlanMaker:
    """`make_plan`."""
    return make_plan
