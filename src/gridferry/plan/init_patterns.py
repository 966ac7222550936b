"""Very many tables -> a short config file: a pattern for each schema, and entries only where a table needs its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gridferry import numbers
from gridferry.model.key_advice import KeyAdvice
from gridferry.model.table import Table, TableName, TablesLeftOut
from gridferry.plan.epoch_advice import CountedTime
from gridferry.plan.init_file import (
    DEFAULT_TARGET,
    beside_counted,
    entry_lines,
    head_lines,
    left_out_lines,
    number_candidates,
    printable,
    split_candidates,
    yaml_scalar,
)
from gridferry.plan.keys import TIME_TYPES, choose_key
from gridferry.plan.names import name_problem, naming_template
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions

MOST_ENTRIES = 8  # tables that have an entry each
_DEFAULTS = """\
# What holds for all tables; an entry of its own says otherwise.
# defaults:
#   sync: {mode: cdc}    # follow changes after the load
# new_tables: load    # `gridferry sync` loads what a pattern finds later; without this it tells of it\
"""


@dataclass
class _Schema:
    """What is written for one schema: those that are out, and those with entries.

    `found` tables match its pattern, `tables` of them with `rows` rows have nothing but it.
    """

    found: int = 0
    tables: int = 0
    rows: int = 0
    out: list[tuple[str, str]] = field(default_factory=list)  # name and reason
    entries: list[list[str]] = field(default_factory=list)


def render_patterns(
    tables: Sequence[Table],
    *,
    names: Collection[TableName],
    blocked: Sequence[Table] = (),
    advice: Mapping[str, KeyAdvice] | None = None,
    times: Mapping[str, Sequence[CountedTime]] | None = None,
    source: str = "${SOURCE_DSN}",
    target: str = DEFAULT_TARGET,
    left_out: Sequence[TablesLeftOut] = (),
) -> str:
    """As `init_file.render_config`, with a pattern for each schema.

    Args: tables: those that can be read; names: what patterns find, which a part of a table that cannot be read is not
        in; blocked: tables that cannot be read, to be named under `except`.
    """
    schemas: dict[str, _Schema] = defaultdict(_Schema)
    for table in blocked:
        if (table.schema, table.name) in names:
            reason, _, step = table.blocked.partition("\n")
            schemas[table.schema].found += 1
            schemas[table.schema].out.append((table.name, f"{reason}: {step}"))
    containers, names = dict(_containers(tables)), frozenset(names)
    for table in tables:
        written = schemas[table.schema]
        listed, why = (table.schema, table.name) in names, _untakable(table)
        written.found += listed
        if why:
            written.out += [(table.name, why)] if listed else []
            continue
        own = containers.get(table.qualified, "")
        if own or not listed or _needs_entry(table):
            container = [f"    container: {yaml_scalar(own)}    # another table's has the same name"] if own else []
            lines = entry_lines(
                table,
                {},
                advice=(advice or {}).get(table.qualified),
                times=(times or {}).get(table.qualified, ()),
            )
            written.entries.append([*lines, *container])
        else:
            written.tables += 1
            written.rows += max(0, table.row_estimate)
    parts = [*head_lines(source, target), _DEFAULTS, "tables:"]
    for schema, written in sorted(schemas.items()):
        parts += _pattern(schema, written)
    for _, written in sorted(schemas.items()):
        parts += [line for entry in written.entries for line in entry]
    return "\n".join([*parts, *left_out_lines(left_out)]) + "\n"


def _pattern(schema: str, written: _Schema) -> Iterator[str]:
    if not written.found:  # a pattern that finds nothing is a mistake
        return
    about = f", about {numbers.count(written.rows)} rows" if written.rows else ""
    pattern = f"{spelled(schema, 'x').removesuffix('x')}*"
    yield f"  - table: {yaml_scalar(pattern)}    # {numbers.plural(written.tables, 'table')}{about}"
    if written.out:
        yield "    except:"
        for name, reason in sorted(written.out):
            plain = spelled("public", name).partition(".")[2]
            yield f"      - {yaml_scalar(plain)}    # {printable(' '.join(reason.split()))}"


def _untakable(table: Table) -> str:
    """Why a load of the table cannot be planned as it is; "" if nothing is known."""
    options = TableOptions(table=spelled(table.schema, table.name))
    key = choose_key(table, options).columns
    hidden = [name for name in key if (c := table.column(name)) and not c.readable]
    return f"this role may not read its key: {', '.join(hidden)}" if hidden else ""


def _needs_entry(table: Table) -> bool:
    """Whether the table needs options of its own, or has a key that names devices and times."""
    lines = entry_lines(table, {})
    key = choose_key(table, TableOptions(table=spelled(table.schema, table.name))).columns
    timed = any(c.type.name in TIME_TYPES for c in table.columns if c.name in key)
    candidates = split_candidates(table, key, {}) if timed else []
    if beside_counted(table, key):  # beside a time of PostgreSQL's own a whole number is more often a serial one
        candidates = [*split_candidates(table, key, {}), *number_candidates(table, key, {})]
    devices = any(c.name in key for c in candidates)
    return devices or any(not line.lstrip().startswith("#") for line in lines[1:])


def _containers(tables: Iterable[Table]) -> Iterator[tuple[str, str]]:
    """Container names for tables whose own are another's, or cannot be one."""
    taken: set[str] = set()
    waiting = []
    for table in tables:
        name = naming_template(None, schema=table.schema, table=table.name, split_by=None)
        if name.lower() in taken or name_problem(name):
            waiting.append(table)
        taken.add(name.lower())
    for table in waiting:
        base = naming_template("{schema}_{table}", schema=table.schema, table=table.name, split_by=None)
        tried = (base, *(f"{base}_{number}" for number in range(2, len(taken) + 3)))
        name = next((each for each in tried if each.lower() not in taken and not name_problem(each)), "")
        taken.add(name.lower())
        if name:
            yield table.qualified, name
