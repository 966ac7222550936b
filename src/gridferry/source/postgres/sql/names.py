"""Table names as people write them, and what they may mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from psycopg import sql

from gridferry.errors import ConfigError

_QUOTED = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^."\s][^."]*?))\s*(\.|$)')

_LISTED = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]+))\s*(?:,|$)')


def name_readings(written: str) -> tuple[tuple[tuple[str | None, str], ...], ...]:
    """What `written` may mean: tiers of (schema or None, table), the likeliest tier first.

    A part in double quotes is taken as it is. Without quotes the exact spelling comes first, with every dot as the
    possible border between schema and table, and PostgreSQL's folding to lower case after it.
    Raises: ConfigError if the text cannot be a table's name.
    """
    if '"' in written:
        return (_quoted_reading(written),)
    text = written.strip()
    if not text or text.startswith(".") or text.endswith("."):
        raise ConfigError(f"{written!r} is not a table's name", next_step="write it as schema.table")
    exact = _splits(text)
    folded = _splits(text.lower())
    return (exact,) if exact == folded else (exact, folded)


def _quoted_reading(written: str) -> tuple[tuple[str | None, str], ...]:
    parts: list[str] = []
    position = 0
    end = "."
    while end == ".":
        found = _QUOTED.match(written, position)
        if found is None:
            raise ConfigError(f"{written!r} is not a table's name", next_step='write it as "schema"."table"')
        quoted, bare, end = found.groups()
        parts.append(quoted.replace('""', '"') if quoted is not None else bare.lower())
        position = found.end()
    if position != len(written) or len(parts) > 2:
        raise ConfigError(f"{written!r} is not a table's name", next_step='write it as "schema"."table"')
    return ((parts[0], parts[1]) if len(parts) == 2 else (None, parts[0]),)


def _splits(text: str) -> tuple[tuple[str | None, str], ...]:
    dots = [i for i, letter in enumerate(text) if letter == "." and 0 < i < len(text) - 1]
    with_schema: list[tuple[str | None, str]] = [(text[:i], text[i + 1 :]) for i in dots]
    return (*with_schema, (None, text))


def listed_names(written: str) -> list[str]:
    """The names in a list such as `"$user", public`, as PostgreSQL reads its search_path."""
    found = []
    for quoted, bare in _LISTED.findall(written):
        name = quoted.replace('""', '"') if quoted else bare.strip().lower()
        if name:
            found.append(name)
    return found


def near_names(written: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three of `known` that look like `written`, the nearest first."""
    folded = {name.lower(): name for name in known}
    short = {name.lower().rpartition(".")[2]: name for name in known}
    wanted = written.replace('"', "").strip().lower()
    found = [folded[n] for n in difflib.get_close_matches(wanted, folded, n=3, cutoff=0.75)]
    found += [short[n] for n in difflib.get_close_matches(wanted.rpartition(".")[2], short, n=3, cutoff=0.7)]
    return tuple(dict.fromkeys(found))[:3]


def relation_sql(schema: str, name: str) -> sql.Composed:
    """`"schema"."name"`, quoted."""
    return sql.SQL("{}.{}").format(sql.Identifier(schema), sql.Identifier(name))


def condition_sql(where: str) -> sql.Composable:
    """The user's condition in parentheses of its own, a trailing comment included; TRUE where there is none."""
    return sql.SQL("(\n{}\n)").format(sql.SQL(where)) if where.strip() else sql.SQL("TRUE")
