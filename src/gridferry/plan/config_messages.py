"""What pydantic found wrong -> sentences for the person who wrote the file. Values never appear in them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from gridferry.errors import ConfigError

_EXPECTED = {
    "string_type": "expected text; put it in quotes",
    "bool_type": "expected true or false",
    "dict_type": "expected `name: value` pairs",
    "model_type": "expected `name: value` pairs",
    "model_attributes_type": "expected `name: value` pairs",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
}


def refusal(name: str, problems: Sequence[str]) -> ConfigError:
    """The error that tells all mistakes of the file `name`; to be raised."""
    count = "one mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = "".join(f"\n  {problem}" for problem in problems)
    return ConfigError(f"{name} has {count}:{lines}", next_step="correct the file and run the command again")


def validation_sentences(error: ValidationError, *, allowed: dict[str, tuple[str, ...]]) -> list[str]:
    """One sentence a mistake, each beginning with the path in the file: `tables[0].key: is missing`.

    `allowed` maps the path of each level, without numbers ("", "tables", "tables.sync"), to the names allowed there.
    """
    return [f"{location(e['loc'])}: {_sentence(dict(e), allowed)}" for e in error.errors(include_url=False)]


def not_known(name: str, allowed: Sequence[str]) -> str:
    """What to say of a name in a place where only `allowed` ones may be: the one that was meant, else all of them."""
    near = get_close_matches(name, allowed, n=1)
    return (
        f"is not known here; did you mean {near[0]}?" if near else f"is not known here; allowed: {', '.join(allowed)}"
    )


def location(parts: tuple[int | str, ...]) -> str:
    """A path as a reader of the file would point at it: `tables[0].columns.temp`."""
    text = ""
    for part in parts:
        if part == "[key]":
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _sentence(error: dict[str, Any], allowed: dict[str, tuple[str, ...]]) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        level = ".".join(p for p in error["loc"][:-1] if isinstance(p, str))
        return not_known(str(error["loc"][-1]), allowed.get(level, ()))
    if kind in ("enum", "literal_error"):
        return f"can be {error['ctx']['expected'].replace(chr(39), '')}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "greater_than_equal":
        return f"must be at least {error['ctx']['ge']}"
    return _EXPECTED.get(kind, "has a form that is not possible here")
