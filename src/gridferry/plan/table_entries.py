"""`tables` and `defaults` of a config file: entries for one table, and patterns that mean many."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gridferry.model.table import TableName
from gridferry.plan.config_messages import not_known, validation_sentences
from gridferry.plan.sync_options import SYNC_OPTIONS, Options
from gridferry.plan.table_options import PLACEHOLDER, TableOptions, is_pattern
from gridferry.plan.table_patterns import STAND_IN, NamePattern, TablePattern, name_pattern

_EXCEPT = "except"
_OPTIONS = tuple(TableOptions.model_fields)
# What names the values or the containers of one table; and what makes no sense without `split_by`.
_OF_ONE_TABLE = frozenset({"table", "split_by", "containers", "keep_split_column"})
DEFAULT_OPTIONS = tuple(name for name in _OPTIONS if name not in _OF_ONE_TABLE)
_ALLOWED = {
    "tables": (*_OPTIONS, _EXCEPT),
    "tables.sync": SYNC_OPTIONS,
    "defaults": DEFAULT_OPTIONS,
    "defaults.sync": SYNC_OPTIONS,
}


class _Tables(Options):
    tables: tuple[TableOptions, ...]


class _Defaults(Options):
    defaults: TableOptions


def read_entries(
    document: Mapping[str, Any], problems: list[str]
) -> tuple[tuple[TableOptions, ...], tuple[TablePattern, ...]]:
    """The entries for one table, and the patterns, with `defaults` filled in. Appends every mistake to `problems`."""
    if "tables" not in document:
        problems.append("tables: is missing")
        return (), ()
    defaults = _defaults(document, problems)
    entries = document["tables"]
    if isinstance(entries, list) and not entries:
        problems.append("tables: must not be empty")
        return (), ()
    patterns: dict[int, tuple[NamePattern, tuple[NamePattern, ...]]] = {}
    if isinstance(entries, list):
        entries = [
            _prepared(entry, number, defaults, patterns, problems) if isinstance(entry, Mapping) else entry
            for number, entry in enumerate(entries)
        ]
    try:
        options = _Tables.model_validate_json(json.dumps({"tables": entries})).tables
    except ValidationError as error:
        problems += validation_sentences(error, allowed=_ALLOWED)
        return (), ()
    single = [(number, each) for number, each in enumerate(options) if number not in patterns]
    _refuse_twice(single, problems)
    made = [TablePattern(f"tables[{number}]", *patterns[number], options[number]) for number in sorted(patterns)]
    for each in made:
        problems += _of_one_table(each)
    return tuple(each for _, each in single), tuple(made)


def _defaults(document: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """What holds for every entry that does not say otherwise; nothing where that has a mistake."""
    given = document.get("defaults")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.append("defaults: expected `name: value` pairs")
        return {}
    found = []
    for name in given:
        if name in _OF_ONE_TABLE:
            found.append(f"defaults.{name}: belongs to one entry of `tables`; write it there")
        elif name not in DEFAULT_OPTIONS:
            found.append(f"defaults.{name}: {not_known(str(name), DEFAULT_OPTIONS)}")
    known = {name: value for name, value in given.items() if name in DEFAULT_OPTIONS}
    try:
        document_ = json.dumps({"defaults": {**known, "table": STAND_IN}})
        options = _Defaults.model_validate_json(document_).defaults
    except ValidationError as error:
        found += validation_sentences(error, allowed=_ALLOWED)
    else:
        if options.container is not None and "table" not in PLACEHOLDER.findall(options.container):
            found.append("defaults.container: needs {table} in it, because it holds for many tables")
    problems += found
    return {} if found else known


def _prepared(
    entry: Mapping[str, Any],
    number: int,
    defaults: Mapping[str, Any],
    patterns: dict[int, tuple[NamePattern, tuple[NamePattern, ...]]],
    problems: list[str],
) -> dict[str, Any]:
    """An entry with what `defaults` says; a pattern goes to `patterns`, and has a stand-in for the table's name."""
    written = {**defaults, **entry}
    without = written.pop(_EXCEPT, None)
    name = written.get("table")
    pattern = name_pattern(name) if isinstance(name, str) and is_pattern(name) else None
    if pattern is None:
        if _EXCEPT in entry:
            problems.append(f"tables[{number}].except: needs a pattern in `table`, such as public.*")
        return written
    patterns[number] = pattern, _except(without, f"tables[{number}].except", problems) if _EXCEPT in entry else ()
    return {**written, "table": STAND_IN}


def _except(given: object, place: str, problems: list[str]) -> tuple[NamePattern, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not names:
        problems.append(f"{place}: expected names of tables, such as [log, tmp_*]")
        return ()
    found = []
    for name in names:
        each = name_pattern(name, any_schema=True) if isinstance(name, str) else None
        if each is None:
            problems.append(
                f"{place}: expected table or schema.table in each place; a name with a dot, a quote, * or ? in it is "
                'written in "double quotes"'
            )
        else:
            found.append(each)
    return tuple(found)


def _of_one_table(pattern: TablePattern) -> list[str]:
    """What a pattern may not say, because it means many tables."""
    container = pattern.options.container
    found = []
    if pattern.options.containers:
        found.append(f"{pattern.place}.containers: names the containers of one table; write an entry for that table")
    if container is not None and "table" not in PLACEHOLDER.findall(container):
        found.append(
            f"{pattern.place}.container: needs {{table}} in it, because {pattern.pattern.written} can mean many tables"
        )
    return found


def _refuse_twice(entries: Sequence[tuple[int, TableOptions]], problems: list[str]) -> None:
    seen: dict[TableName, int] = {}
    for number, options in entries:
        first = seen.setdefault(options.full_name, number)
        if first != number:
            problems.append(f"tables[{number}].table: is the same table as tables[{first}]")
