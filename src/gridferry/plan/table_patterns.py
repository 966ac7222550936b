"""Entries of the config that mean many tables: names with `*` and `?`, and the tables that each of them means."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gridferry import numbers
from gridferry.model.table import TableName
from gridferry.plan.table_names import spelled
from gridferry.plan.table_options import QUALIFIED, TableOptions
from gridferry.plan.yaml_text import flow_text

STAND_IN = "pattern"  # the table's name in the options of a pattern, until there is one
_SHOWN = 10


@dataclass(frozen=True)
class NamePattern:
    """A table's name in which `*` stands for any letters and `?` for one. A part in double quotes is literal."""

    written: str
    schema: re.Pattern[str]
    name: re.Pattern[str]

    def matches(self, table: TableName) -> bool:
        """Whether a table is meant. Case counts."""
        return self.schema.fullmatch(table.schema) is not None and self.name.fullmatch(table.name) is not None


@dataclass(frozen=True)
class TablePattern:
    """An entry whose `table` is a pattern. `options` hold for each table that it means; `place` is `tables[2]`."""

    place: str
    pattern: NamePattern
    without: tuple[NamePattern, ...]
    options: TableOptions

    def of(self, table: TableName) -> TableOptions:
        """The options of one of its tables, as if they were written out."""
        return self.options.model_copy(update={"table": spelled(*table)})

    def takes(self, table: TableName) -> bool:
        """Whether a table is meant, and not taken out by `except`."""
        return self.pattern.matches(table) and not any(each.matches(table) for each in self.without)


@dataclass(frozen=True)
class Meant:
    """The tables that a config means of those that there are: single entries first. `problems` are of the patterns."""

    tables: tuple[TableOptions, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def name_pattern(written: str, *, any_schema: bool = False) -> NamePattern | None:
    """The pattern, or None where `written` is no name. Without a schema it means `public`, or with `any_schema` all."""
    match = QUALIFIED.fullmatch(written)
    if match is None:
        return None
    quoted_schema, schema, quoted_name, name = match.groups()
    if quoted_schema is None and schema is None:
        schema = "*" if any_schema else "public"
    return NamePattern(written, _part(quoted_schema, schema), _part(quoted_name, name))


def _part(quoted: str | None, plain: str | None) -> re.Pattern[str]:
    if quoted is not None:
        return re.compile(re.escape(quoted.replace('""', '"')), re.DOTALL)
    # `[` means a set of letters to fnmatch, and nothing here. Its expressions do not grow slow with many stars.
    return re.compile(fnmatch.translate((plain or "").replace("[", "[[]")))


def meant_tables(single: Sequence[TableOptions], patterns: Sequence[TablePattern], names: Iterable[TableName]) -> Meant:
    """The tables that these entries mean of `names`. A single entry wins over every pattern."""
    own = {options.full_name for options in single}
    known = list(names)
    found: list[TableOptions] = []
    at_odds: dict[tuple[int, int], list[TableName]] = defaultdict(list)
    for table in known:
        if table in own:
            continue
        taking = [number for number, each in enumerate(patterns) if each.takes(table)]
        if taking:
            found.append(patterns[taking[0]].of(table))
        for other in taking[1:]:
            if patterns[other].options != patterns[taking[0]].options:
                at_odds[taking[0], other].append(table)
    problems = [*_without_tables(patterns, known)]
    problems += [_odds(patterns[one], patterns[other], tables) for (one, other), tables in at_odds.items()]
    return Meant((*single, *found), tuple(problems), tuple(_idle(patterns, known)))


def _without_tables(patterns: Sequence[TablePattern], names: Sequence[TableName]) -> Iterator[str]:
    for each in patterns:
        if not any(each.pattern.matches(table) for table in names):
            schemas = sorted({table.schema for table in names})
            has = f"the source has tables in {', '.join(schemas[:_SHOWN])}" if schemas else "the source has no tables"
            yield f"{each.place}.table: no table matches {each.pattern.written}; {has}"


def _odds(one: TablePattern, other: TablePattern, tables: Sequence[TableName]) -> str:
    """What to say of tables that two patterns give different options; the way out works as it stands."""
    options = [name for name in TableOptions.model_fields if getattr(one.options, name) != getattr(other.options, name)]
    written = flow_text(_whole(other.pattern))
    means = "matches" if len(tables) == 1 else "match"
    return (
        f"{one.place} ({one.pattern.written}) and {other.place} ({other.pattern.written}) have different "
        f"{', '.join(options)}, and both mean {numbers.plural(len(tables), 'table')}: {listed(tables)}; "
        f"add `except: [{written}]` to {one.place}, or write an entry for each table that {means} both"
    )


def _whole(pattern: NamePattern) -> str:
    """The pattern with its schema: in `except` a name without one means every schema."""
    match = QUALIFIED.fullmatch(pattern.written)
    return pattern.written if match and (match.group(1) or match.group(2)) else f"public.{pattern.written}"


def _idle(patterns: Sequence[TablePattern], names: Sequence[TableName]) -> Iterator[str]:
    for each in patterns:
        meant = [table for table in names if each.pattern.matches(table)]
        for without in each.without:
            if meant and not any(without.matches(table) for table in meant):
                yield f"{each.place}.except: {without.written} takes no table out of {each.pattern.written}"


def listed(tables: Iterable[object]) -> str:
    """The first names of tables, and how many more there are."""
    names = [str(table) for table in tables]
    more = f" and {numbers.count(len(names) - _SHOWN)} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
