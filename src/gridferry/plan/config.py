"""The config file: YAML -> frozen options. Every mistake is found, named and explained in one go."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import ValidationError, field_validator

from gridferry.errors import ConfigError
from gridferry.griddb.address import GridDBAddress
from gridferry.plan.addresses import (
    AddressProblem,
    SourceAddress,
    exposed_password_file,
    source_address,
    target_address,
)
from gridferry.plan.config_messages import location, not_known, refusal, validation_sentences
from gridferry.plan.small_files import Unreadable, read_small, reason
from gridferry.plan.table_options import SYNC_OPTIONS, Options, TableOptions, table_options
from gridferry.plan.yaml_text import MOST_BYTES, parse_yaml

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class VerifyWish(str, Enum):
    """What is compared by itself, after a load and after a bounded sync."""

    OFF = "off"
    QUICK = "quick"
    FULL = "full"


@dataclass(frozen=True)
class Config:
    """A whole config file."""

    source: SourceAddress
    target: GridDBAddress
    tables: tuple[TableOptions, ...]
    path: str = ""
    verify: VerifyWish = VerifyWish.OFF
    warnings: tuple[str, ...] = ()  # what is worth telling once, though nothing is wrong with the file itself
    name: str = ""  # of the migration; without one it is known by the source's database

    def table(self, name: str) -> TableOptions:
        """The options of the table written `schema.table` or `table`. Raises: ConfigError."""
        wanted = table_options(table=name)
        for options in self.tables:
            if (options.schema_name, options.table_name) == (wanted.schema_name, wanted.table_name):
                return options
        known = ", ".join(t.table for t in self.tables)
        raise ConfigError(f"{self.path or 'the config'} has no table {name}; it has {known}")

    def chosen(self, names: Sequence[str]) -> tuple[TableOptions, ...]:
        """The tables that are named, each once; all where none is named. Raises: ConfigError."""
        named = {(t.schema_name, t.table_name): t for t in (self.table(name) for name in names)}
        return tuple(named.values()) if names else self.tables


class _Tables(Options):
    tables: tuple[TableOptions, ...]

    @field_validator("tables")
    @classmethod
    def _some(cls, value: tuple[TableOptions, ...]) -> tuple[TableOptions, ...]:
        # Not Field(min_length=1): that counts the valid ones, and calls a list empty whose every table has a mistake.
        if not value:
            raise ValueError("must not be empty")
        return value


_ALLOWED = {
    "": ("source", "target", "tables", "verify", "name"),
    "tables": tuple(TableOptions.model_fields),
    "tables.sync": SYNC_OPTIONS,
}


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
    problems = [f"{key}: {not_known(key, _ALLOWED[''])}" for key in document if key not in _ALLOWED[""]]
    source = _address(document, "source", problems, read=lambda value: source_address(value, variables))
    target = _address(document, "target", problems, read=lambda value: target_address(value, variables))
    tables = _tables(document, problems)
    verify = _verify(document, problems)
    given = _migration_name(document, problems)
    if problems or source is None or target is None:
        raise refusal(name, problems)
    exposed = exposed_password_file(document["target"], variables)
    warnings = (exposed,) if exposed else ()
    return Config(source=source, target=target, tables=tables, path=name, verify=verify, warnings=warnings, name=given)


def _address(document: dict[str, Any], key: str, problems: list[str], *, read: Any) -> Any:
    if document.get(key) is None:
        problems.append(f"{key}: is missing")
        return None
    try:
        return read(document[key])
    except AddressProblem as error:
        problems += [f"{location((key, *([path] if path else [])))}: {sentence}" for path, sentence in error.problems]
        return None


def _verify(document: dict[str, Any], problems: list[str]) -> VerifyWish:
    wish = document.get("verify", VerifyWish.OFF.value)
    # YAML reads a bare `off` as false.
    wish = VerifyWish.OFF.value if wish is False else wish
    if wish not in [each.value for each in VerifyWish]:
        problems.append("verify: expected off, quick or full")
        return VerifyWish.OFF
    return VerifyWish(wish)


def _migration_name(document: dict[str, Any], problems: list[str]) -> str:
    wish = document.get("name")
    if wish is None:
        return ""
    if not isinstance(wish, str) or _NAME.fullmatch(wish) is None:
        problems.append("name: expected 1 to 64 letters, digits, _ and -, such as shop or site-a")
        return ""
    return wish


def _tables(document: dict[str, Any], problems: list[str]) -> tuple[TableOptions, ...]:
    try:
        wanted = {"tables": document["tables"]} if "tables" in document else {}
        tables = _Tables.model_validate_json(json.dumps(wanted)).tables
    except ValidationError as error:
        problems += validation_sentences(error, allowed=_ALLOWED)
        return ()
    seen: dict[tuple[str, str], int] = {}
    for number, options in enumerate(tables):
        first = seen.setdefault((options.schema_name, options.table_name), number)
        if first != number:
            problems.append(f"tables[{number}].table: is the same table as tables[{first}]")
    return tables
