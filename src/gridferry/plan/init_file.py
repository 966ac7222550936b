"""Tables -> a config file to start from, with its choices explained in comments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from gridferry.model.key_advice import KeyAdvice
from gridferry.model.table import Column, Table, TablesLeftOut
from gridferry.plan.addresses import PASSWORD_VARIABLE
from gridferry.plan.epoch_advice import CountedTime, epoch_look
from gridferry.plan.key_advice import is_telling, sureness, why_generated
from gridferry.plan.keys import TIME_TYPES, choose_key
from gridferry.plan.mapping import rule_name
from gridferry.plan.names import needed_renames
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import TableOptions

DEFAULT_TARGET = "griddb://admin@127.0.0.1:10001/myCluster/public"
MAX_SPLIT_VALUES = 10_000  # a column with more values than this does not name devices
_SPLIT_TYPES = frozenset({"text", "varchar", "bpchar", "uuid", "enum"})
_WHOLE = frozenset({"int2", "int4", "int8"})
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SAFE = re.compile(r"\$\{[A-Za-z0-9_]+\}|[A-Za-z_][A-Za-z0-9_.]*|griddb://[A-Za-z0-9_.@:,/?=-]*[A-Za-z0-9]")
_NAMED = 5  # of the tables that are left out for one reason
_WORDS = frozenset({"true", "false", "null"})  # text that YAML reads as something else


def render_config(
    tables: Sequence[Table],
    *,
    distinct: Mapping[str, Mapping[str, int]] | None = None,
    advice: Mapping[str, KeyAdvice] | None = None,
    times: Mapping[str, Sequence[CountedTime]] | None = None,
    source: str = "${SOURCE_DSN}",
    target: str = DEFAULT_TARGET,
    left_out: Sequence[TablesLeftOut] = (),
) -> str:
    """A YAML text that `load_config` reads, with one entry a table.

    `distinct` says, by qualified table and column, how many values a column has (an estimate will do): only text
    columns with few values are suggested for `split_by`, and where nothing is known those in the key before others.
    `advice` says, by qualified table, which columns may be the key of a table that has none, `times` which columns of
    numbers look like times.
    `source` should be a ${VARIABLE}, since a password must not be in the file. `left_out` is named in comments.
    """
    known = distinct or {}
    parts = [*head_lines(source, target), "tables:"]
    for table in tables:
        name = table.qualified
        parts += entry_lines(
            table, known.get(name, {}), advice=(advice or {}).get(name), times=(times or {}).get(name, ())
        )
    return "\n".join([*parts, *left_out_lines(left_out)]) + "\n"


def head_lines(source: str, target: str) -> list[str]:
    """Where from, and where to."""
    return [
        "# What gridferry loads, and where to. `gridferry plan` shows what it makes of this file and changes nothing.",
        f"source: {yaml_scalar(source)}",
        f"target: {yaml_scalar(target)}    # the password comes from {PASSWORD_VARIABLE}, or from a file:",
        "                 # target: {url: ..., password_file: /run/secrets/griddb}",
    ]


def left_out_lines(left_out: Sequence[TablesLeftOut]) -> list[str]:
    """Comments about what is in no entry."""
    told = [f"#   {_named(each.tables)}: {printable(each.why)}" for each in left_out]
    return ["# Left out:", *told] if told else []


def _named(tables: Sequence[str]) -> str:
    more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
    return ", ".join(printable(name) for name in tables[:_NAMED]) + more


def printable(text: str) -> str:
    """Text for a comment: a name may hold a line break, and what follows one is no comment any more."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def entry_lines(
    table: Table,
    distinct: Mapping[str, int],
    *,
    advice: KeyAdvice | None = None,
    times: Sequence[CountedTime] = (),
) -> list[str]:
    """The entry of one table; what is only suggested is a comment.

    Args: advice: for a table without a key; times: columns of numbers that look like times.
    """
    options = TableOptions(table=spelled(table.schema, table.name))
    choice = choose_key(table, options)
    lines = [f"  - table: {yaml_scalar(options.table)}{_size(table)}"]
    timed = any(c.type.name in TIME_TYPES for c in table.columns)
    if choice.columns:
        lines.append(f"    # key: {_flow(choice.columns)}    # {choice.origin}; used when nothing is said")
    else:
        lines += _key_lines(advice or KeyAdvice(), choice.missing)
    key = choice.columns or (advice.columns if advice is not None and is_telling(advice) else ())
    texts = split_candidates(table, key, distinct) if timed or beside_counted(table, key) else []
    for column in _of_devices(table, key, [*texts, *number_candidates(table, key, distinct)]):
        values = f"the {distinct[column.name]} values" if column.name in distinct else "each value"
        lines.append(f"    # split_by: {yaml_scalar(column.name)}    # one container for {values}")
    if times:
        wish, counts = ", ".join(each.wish for each in times), " and ".join(dict.fromkeys(t.counts for t in times))
        lines.append(f"    # columns: {{{wish}}}    # numbers that look like times, {counts}")
    hidden = [c for c in table.columns if not c.readable]
    if hidden:
        names = tuple(c.name for c in hidden)
        lines += [
            "    # These columns would be lost: cutover asks why. Give each a reason, exclude: {NAME: REASON}.",
            f"    exclude: {_flow(names)}    # this role may not read {', '.join(printable(name) for name in names)}",
        ]
    renames = needed_renames([(c.name, c.name) for c in table.columns if c not in hidden])
    if renames:
        pairs = ", ".join(f"{_word(source)}: {_word(name)}" for source, name in renames.items())
        lines.append(f"    rename: {{{pairs}}}    # names that GridDB does not take")
    return lines


def _key_lines(advice: KeyAdvice, missing: str) -> list[str]:
    """The key of a table that has none: columns only where every row of the table was looked at, and they are many."""
    if is_telling(advice):
        return [f"    key: {_flow(advice.columns)}    # {sureness(advice)}"]
    lines = [f"    key: generated    # {missing}: {why_generated(advice)}"]
    if advice.columns:
        lines.append(f"    # key: {_flow(advice.columns)}    # {sureness(advice)}")
    return lines


def split_candidates(table: Table, key: tuple[str, ...], distinct: Mapping[str, int]) -> list[Column]:
    """Text columns that may name a device."""
    texts = [c for c in table.columns if rule_name(c.type) in _SPLIT_TYPES and key != (c.name,)]
    few = [c for c in texts if 1 < distinct.get(c.name, 0) <= MAX_SPLIT_VALUES]
    unknown = [c for c in texts if c.name not in distinct]
    return few or [c for c in unknown if c.name in key] or unknown


def number_candidates(table: Table, key: tuple[str, ...], distinct: Mapping[str, int]) -> list[Column]:
    """Whole numbers that may name a device: beside a time in the key, or without a key at the head of an index."""
    beside = any(is_like_time(column) for column in table.columns if not key or column.name in key)
    return [
        column
        for column in table.columns
        if beside
        and column.type.name in _WHOLE
        and not is_like_time(column)
        and (column.name in key if key else column.name in table.indexed)
        and 1 < distinct.get(column.name, 2) <= MAX_SPLIT_VALUES
    ]


def beside_counted(table: Table, key: tuple[str, ...]) -> bool:
    """Whether a number that speaks of time is in the key beside something else."""
    counted = [c for c in table.columns if c.name in key and epoch_look(c) is not None]
    return bool(counted) and len(key) > len(counted)


def _of_devices(table: Table, key: tuple[str, ...], candidates: Sequence[Column]) -> Sequence[Column]:
    """Of the candidates those that lead up to the time in the key, as `device` in (device, time, part of a second)."""
    times = [key.index(c.name) for c in table.columns if c.name in key and is_like_time(c)]
    ahead = key[: min(times)] if times else ()
    return [c for c in candidates if c.name in ahead] or candidates


def is_like_time(column: Column) -> bool:
    """Whether a column has a type of times, or is a number whose name speaks of time."""
    return column.type.name in TIME_TYPES or epoch_look(column) is not None


def _size(table: Table) -> str:
    return f"    # about {table.row_estimate:,} rows" if table.row_estimate > 0 else ""


def yaml_scalar(value: str) -> str:
    """A YAML scalar: as it is where that is safe, else in double quotes."""
    safe = _SAFE.fullmatch(value) is not None and value.lower() not in _WORDS
    return value if safe else json.dumps(value, ensure_ascii=False)


def _flow(names: tuple[str, ...]) -> str:
    return f"[{', '.join(_word(name) for name in names)}]"


def _word(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in _WORDS else json.dumps(name, ensure_ascii=False)
