"""The config file: YAML -> frozen options. Every mistake is found, named and explained in one go."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

from gridferry.errors import ConfigError
from gridferry.griddb.address import GridDBAddress
from gridferry.model.table import TableName
from gridferry.plan.addresses import (
    AddressProblem,
    SourceAddress,
    exposed_password_file,
    source_address,
    target_address,
)
from gridferry.plan.config_messages import location, not_known, refusal
from gridferry.plan.small_files import Unreadable, read_small, reason
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_entries import read_entries
from gridferry.plan.table_options import TableOptions, is_pattern, table_options
from gridferry.plan.table_patterns import TablePattern, meant_tables, name_pattern
from gridferry.plan.yaml_text import MOST_BYTES, parse_yaml

E = TypeVar("E", bound=Enum)
_MOST_LISTED = 20  # names of tables in a message
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class VerifyWish(str, Enum):
    """What is compared by itself, after a load and after a bounded sync."""

    OFF = "off"
    QUICK = "quick"
    FULL = "full"


class NewTables(str, Enum):
    """What becomes of a table that a pattern means and that is not loaded yet."""

    TELL = "tell"  # commands name it
    LOAD = "load"  # `sync` loads it first


class OnTableError(str, Enum):
    """What becomes of a sync when one of its tables cannot go on."""

    ISOLATE = "isolate"  # the table is set apart, the others go on
    STOP = "stop"  # the sync ends


@dataclass(frozen=True)
class SlotWish:
    """What `sync` of the tables in mode cdc says of their slot: the publications of somebody else, and `failover`."""

    publications: tuple[str, ...] = ()
    failover: bool = False


def _slot_wishes(tables: Iterable[TableOptions], patterns: Iterable[TablePattern]) -> set[SlotWish]:
    every = (each.sync for each in (*tables, *(pattern.options for pattern in patterns)))
    followed = [sync for sync in every if sync is not None and sync.mode is SyncMode.CDC]
    return {SlotWish(sync.publication, sync.failover) for sync in followed}


@dataclass(frozen=True)
class Config:
    """A whole config file. `tables` are those of single entries; what `patterns` mean depends on the source."""

    source: SourceAddress
    target: GridDBAddress
    tables: tuple[TableOptions, ...]
    path: str = ""
    verify: VerifyWish = VerifyWish.OFF
    warnings: tuple[str, ...] = ()  # what is worth telling once, though nothing is wrong with the file itself
    name: str = ""  # of the migration; without one it is known by the source's database
    patterns: tuple[TablePattern, ...] = ()
    new_tables: NewTables = NewTables.TELL
    on_table_error: OnTableError = OnTableError.ISOLATE

    @property
    def slot_wish(self) -> SlotWish:
        """What is asked of the slot of all tables in mode cdc."""
        return next(iter(_slot_wishes(self.tables, self.patterns)), SlotWish())

    def meaning(self, names: Iterable[TableName]) -> Config:
        """The same with an entry for each table of `names` that a pattern means, and no pattern.

        Raises: ConfigError for patterns that mean no table, or are at odds about one; all of them at once.
        """
        if not self.patterns:
            return self
        meant = meant_tables(self.tables, self.patterns, names)
        if meant.problems:
            raise refusal(self.path or "the config", meant.problems)
        return replace(self.with_tables(meant.tables), warnings=(*self.warnings, *meant.warnings))

    def with_tables(self, tables: tuple[TableOptions, ...]) -> Config:
        """The same with these tables, and no pattern."""
        return replace(self, tables=tables, patterns=())

    def table(self, name: str) -> TableOptions:
        """The options of the table written `schema.table` or `table`. Raises: ConfigError."""
        found = self._by_name.get(table_options(table=name).full_name)
        if found is None:
            raise ConfigError(f"{self.path or 'the config'} has no table {name}; it has {self._listed}")
        return found

    def chosen(self, names: Sequence[str]) -> tuple[TableOptions, ...]:
        """The tables that are named, or meant by a pattern, each once; all where none is named. Raises: ConfigError."""
        if not names:
            return self.tables
        named: dict[TableName, TableOptions] = {}
        for name in names:
            for options in self._matching(name) if is_pattern(name) else (self.table(name),):
                named.setdefault(options.full_name, options)
        return tuple(named.values())

    def _matching(self, written: str) -> list[TableOptions]:
        pattern = name_pattern(written)
        found = [] if pattern is None else [each for each in self.tables if pattern.matches(each.full_name)]
        if not found:
            raise ConfigError(f"no table of {self.path or 'the config'} matches {written}; it has {self._listed}")
        return found

    @cached_property
    def _by_name(self) -> dict[TableName, TableOptions]:
        return {options.full_name: options for options in self.tables}

    @property
    def _listed(self) -> str:
        more = f" and {len(self.tables) - _MOST_LISTED} more" if len(self.tables) > _MOST_LISTED else ""
        return (", ".join(options.table for options in self.tables[:_MOST_LISTED]) or "none") + more


_ALLOWED = ("source", "target", "tables", "defaults", "new_tables", "on_table_error", "verify", "name")


def load_config(path: str | os.PathLike[str], *, env: Mapping[str, str] | None = None) -> Config:
    """The config in the file at `path`, with `env` (the process's, by default) filled in.

    Raises: ConfigError, one for all mistakes in the file, each with its path in the file; never with a value.
    """
    name = os.fspath(path)
    try:
        text = read_small(path, most=MOST_BYTES).text
    except OSError as error:
        raise ConfigError(
            f"{name} cannot be read: {reason(error)}", next_step="`gridferry init DSN` writes such a file"
        ) from error
    except Unreadable as error:
        raise ConfigError(f"{name} is not a config: {error}", next_step="give a file of UTF-8 text with -c") from None
    return parse_config(text, name=name, env=env)


def parse_config(text: str, *, name: str = "config", env: Mapping[str, str] | None = None) -> Config:
    """As `load_config`, from text. `name` is for messages."""
    variables = os.environ if env is None else env
    document = parse_yaml(text, name=name)
    if not isinstance(document, dict):
        raise refusal(name, ["the file: expected source, target and tables"])
    problems = [f"{key}: {not_known(key, _ALLOWED)}" for key in document if key not in _ALLOWED]
    source = _address(document, "source", problems, read=lambda value: source_address(value, variables))
    target = _address(document, "target", problems, read=lambda value: target_address(value, variables))
    tables, patterns = read_entries(document, problems)
    verify = _choice(document, "verify", VerifyWish.OFF, problems)
    new_tables = _choice(document, "new_tables", NewTables.TELL, problems)
    on_table_error = _choice(document, "on_table_error", OnTableError.ISOLATE, problems)
    given = _migration_name(document, problems)
    if len(_slot_wishes(tables, patterns)) > 1:
        problems.append(
            "tables: all tables in mode cdc have one replication slot, and their `publication` and `failover` differ; "
            "write them once, under `defaults`"
        )
    if problems or source is None or target is None:
        raise refusal(name, problems)
    exposed = exposed_password_file(document["target"], variables)
    warnings = (exposed,) if exposed else ()
    return Config(source, target, tables, name, verify, warnings, given, patterns, new_tables, on_table_error)


def _address(document: dict[str, Any], key: str, problems: list[str], *, read: Any) -> Any:
    if document.get(key) is None:
        problems.append(f"{key}: is missing")
        return None
    try:
        return read(document[key])
    except AddressProblem as error:
        problems += [f"{location((key, *([path] if path else [])))}: {sentence}" for path, sentence in error.problems]
        return None


def _choice(document: dict[str, Any], name: str, usual: E, problems: list[str]) -> E:
    """The word of an option that takes a few; the usual one where it is left out, or is none of them."""
    wish = document.get(name, usual.value)
    # YAML reads a bare `off` as false.
    wish = "off" if wish is False else wish
    words = [each.value for each in type(usual)]
    if wish not in words:
        problems.append(f"{name}: expected {', '.join(words[:-1])} or {words[-1]}")
        return usual
    return type(usual)(wish)


def _migration_name(document: dict[str, Any], problems: list[str]) -> str:
    wish = document.get("name")
    if wish is None:
        return ""
    if not isinstance(wish, str) or _NAME.fullmatch(wish) is None:
        problems.append("name: expected 1 to 64 letters, digits, _ and -, such as shop or site-a")
        return ""
    return wish
