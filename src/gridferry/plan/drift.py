"""Has a table or its part of the config changed since it was loaded?"""

from __future__ import annotations

import hashlib
import json

from gridferry.model.table import Table
from gridferry.plan.plan import OnBadRow, OnDuplicate, TablePlan
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions


def changed_columns(plan: TablePlan, table: Table) -> list[str]:
    """The plan's source columns that the table no longer has, or has with another type; by name."""
    now = {c.name: c.type.formatted for c in table.columns}
    return sorted({c.source for c in plan.columns if now.get(c.source) != c.pg_type})


def fingerprint(options: TableOptions) -> str:
    """SHA-256 over a table's options as far as they decide what is loaded.

    Not over the names under `containers`: a value that comes later may get one. Whether those that have a container
    keep its name is asked of the catalog: see `engine.ownership.origin_check.require_names_kept`.
    """
    same = {"containers": {}, "table": spelled(*options.full_name)}  # `device` is `public.device`
    document = options.model_copy(update=same).model_dump(mode="json", exclude={"sync"})
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def same_load(options: TableOptions, loaded: str) -> bool:
    """Whether a table's options load what those with the fingerprint `loaded` did.

    The answers to bad and colliding rows may change after the load: they decide about rows that come later.
    """
    return any(
        loaded == fingerprint(options.model_copy(update={"on_duplicate": duplicate, "on_bad_row": bad}))
        for duplicate in OnDuplicate
        for bad in OnBadRow
    )
