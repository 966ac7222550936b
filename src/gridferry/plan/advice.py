"""Advice that several messages give, in words that work when they are followed to the letter."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence

from gridferry.plan.names import free_name
from gridferry.plan.plan import TablePlan
from gridferry.plan.table_names import spelled
from gridferry.plan.yaml_text import flow_text

_SHOWN = 20
# In quotes whatever is not surely a name: a word of SQL too, where it is short.
_PLAIN = re.compile(r"id|[a-z]+_[a-z0-9_]+")
_LONG_KEY = 1000  # YAML takes no longer ones without a question mark


def load_again(table: str) -> str:
    """What to do where only a new load helps, and what that drops. Args: `table`: as `spelled` or a config has it."""
    command = f"gridferry load --replace --table {shlex.quote(table)}"
    return f"load it again with `{command}`, which drops its containers and their rows"


def leave_out_nulls(columns: Sequence[str], *, where: str) -> str:
    """What to write into the config so that rows without a value in one of `columns` are left out.

    Args: where: the table's condition of today.
    """
    if where.strip():
        return f"let `where` leave out rows without a value in {' or '.join(columns)} as well"
    condition = " AND ".join(f"{_identifier(name)} IS NOT NULL" for name in columns)
    return f"leave those rows out with `where: {flow_text(condition)}` (not in mode cdc)"


def _identifier(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def named_apart(plan: TablePlan, values: Sequence[str | None], *, taken: Collection[str] = ()) -> str:
    """What to do where containers of values that have none yet cannot have the names that the plan gives.

    Args: taken: names of the table's other containers, in small letters.
    """
    used = set(taken)
    pairs = []
    for value in values:
        name = free_name(plan, value, used)
        used.add(name.lower())
        if value is not None:
            key = flow_text(value)
            pairs.append(f"{key if len(key) < _LONG_KEY else f'? {key} '}: {flow_text(name)}")
    if not pairs:  # rows without a value: no name can be given to them alone
        return f"choose another `container:` in the config, and {load_again(spelled(plan.schema, plan.table))}"
    more = ", and so for the others" if len(pairs) > _SHOWN else ""
    listed = f"`containers: {{{', '.join(pairs[:_SHOWN])}}}`{more}"
    return f"give it a name of its own in the config, as {listed}; then run the same command again"
