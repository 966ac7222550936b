"""JSON values -> the frozen records that were written: strict, field by field, and nothing else.

A record is decoded by its own type hints: every field must be there and no other, of just that type, in the form that
is said at the field (`model.forms`). Whoever may write to the target can write anything there, so nothing is guessed.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from gridferry.errors import CheckpointError
from gridferry.model.forms import NumberForm, TextForm
from gridferry.model.position import Lsn

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_SHOWN = 60
_NO_TEXT = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T")
Decoder = Callable[[Any, str], Any]


class Malformed(ValueError):
    """A value that no record of its kind holds. `field` says where in the document, as `plan.columns[2].source`."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(f"{field or 'it'} {words}")


def decoded(kind: type[T], document: Mapping[str, Any], **given: Any) -> T:
    """The record of dataclass `kind` whose fields are `given`, and for the rest those of `document`, no more no less.

    Raises: Malformed.
    """
    made: T = _record(cast(Any, kind), frozenset(given))({**document}, "", given)
    return made


def decoded_value(hint: Any, value: Any) -> Any:
    """The value of a type hint, such as `tuple[str, ...]`, that a JSON value stands for. Raises: Malformed."""
    return _decoder(hint)(value, "")


def require_version(document: Mapping[str, Any], version: int, *, what: str, next_step: str) -> dict[str, Any]:
    """The document without its version; `what` names it. Raises: CheckpointError for another version, or for none."""
    found = document.get("version")
    if type(found) is not int or found != version:
        raise CheckpointError(
            f"{what} has version {_shown(found)}, this gridferry reads version {version}",
            state="nothing was changed",
            next_step=next_step,
        )
    return {name: value for name, value in document.items() if name != "version"}


def own_record(
    kind: type[T], document: Mapping[str, Any], version: int, own: Mapping[str, str], *, what: str, next_step: str
) -> T:
    """The record of dataclass `kind` that is stored in a document of that version, with the fields `own` as they are.

    Args: own: by what the document was asked for; what: names it; next_step: what helps where it is broken.
    Raises: CheckpointError for another version, a malformed document, or one of something else.
    """
    other = f"use the gridferry that wrote it, or {next_step}"
    fields = require_version(document, version, what=what, next_step=other)

    def decode() -> T:
        record = decoded(kind, fields)
        for name, value in own.items():
            if getattr(record, name) != value:
                raise Malformed(name, "is another one")
        return record

    return readable(what, decode, next_step=next_step)


def readable(what: str, decode: Callable[[], T], *, next_step: str, state: str = "nothing was changed") -> T:
    """What `decode` returns. Raises: CheckpointError where it finds the stored value malformed.

    Args: what: names what was read, with its scope and item in the state.
    """
    try:
        return decode()
    except Malformed as error:
        raise CheckpointError(f"{what} is not readable: {error}", state=state, next_step=next_step) from None


@cache
def _record(kind: type[Any], given: frozenset[str] = frozenset()) -> Callable[..., Any]:
    hints = get_type_hints(kind, include_extras=True)
    decoders = {f.name: _decoder(hints[f.name]) for f in fields(kind) if f.init and f.name not in given}

    def decode(value: Any, path: str, known: Mapping[str, Any] | None = None) -> Any:
        if not isinstance(value, dict):
            raise Malformed(path, f"is {_kind(value)}, not a mapping of fields")
        if value.keys() != decoders.keys():
            missing = sorted(decoders.keys() - value.keys())
            if missing:
                raise Malformed(_under(path, missing[0]), "is missing")
            raise Malformed(_under(path, _shown(min(value.keys() - decoders.keys(), key=str))), "is not known")
        values = {name: decoder(value[name], _under(path, name)) for name, decoder in decoders.items()}
        try:
            return kind(**values, **(known or {}))
        except ValueError as error:
            raise Malformed(path, f"cannot be so: {error}") from None

    return decode


@cache
def _decoder(hint: Any) -> Decoder:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _formed(args[0], args[1])
    if origin in (Union, types.UnionType):
        (inner,) = (each for each in args if each is not type(None))
        decoder = _decoder(inner)
        return lambda value, path: None if value is None else decoder(value, path)
    if origin is tuple:
        return _tuple(args)
    if origin is dict:
        return _mapping(*args)
    if hint is Any:
        return lambda value, path: value
    if hint is Lsn:
        return _lsn
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if is_dataclass(hint):
        return _record(cast(Any, hint))
    plain: dict[Any, Decoder] = {str: _text, int: _whole, float: _real, bool: _truth}
    return plain[hint]


def _formed(inner: Any, form: TextForm | NumberForm) -> Decoder:
    decoder = _decoder(inner)

    def decode(value: Any, path: str) -> Any:
        found = decoder(value, path)
        if not form.holds(found):
            raise Malformed(path, f"is not {form.what}: {_shown(found)}")
        return found

    return decode


def _tuple(args: tuple[Any, ...]) -> Decoder:
    if len(args) == 2 and args[1] is Ellipsis:
        item = _decoder(args[0])

        def each(value: Any, path: str) -> Any:
            return tuple(item(part, f"{path}[{number}]") for number, part in enumerate(_list(value, path)))

        return each
    items = [_decoder(arg) for arg in args]

    def fixed(value: Any, path: str) -> Any:
        if len(_list(value, path)) != len(items):
            raise Malformed(path, f"has {len(value)} parts, not {len(items)}")
        return tuple(decode(part, f"{path}[{i}]") for i, (decode, part) in enumerate(zip(items, value, strict=True)))

    return fixed


def _mapping(key: Any, item: Any) -> Decoder:
    decode_key, decode_item = _decoder(key), _decoder(item)

    def decode(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise Malformed(path, f"is {_kind(value)}, not a mapping")
        return {decode_key(k, path): decode_item(v, f"{path}[{_shown(k)}]") for k, v in value.items()}

    return decode


def _enum(hint: type[Enum]) -> Decoder:
    members = {(type(member.value), member.value): member for member in hint}

    def decode(value: Any, path: str) -> Any:
        found = members.get((type(value), value)) if isinstance(value, str | int) else None
        if found is None:
            allowed = ", ".join(str(member.value) for member in hint)
            raise Malformed(path, f"is {_shown(value)}; it can be {allowed}")
        return found

    return decode


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Malformed(path, f"is {_kind(value)}, not a list")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Malformed(path, f"is {_kind(value)}, not a text")
    if _NO_TEXT.search(value):
        raise Malformed(path, "holds a character that no stored text has")
    return value


def _whole(value: Any, path: str) -> int:
    if type(value) is not int:
        raise Malformed(path, f"is {_kind(value)}, not a whole number")
    if not _LEAST <= value <= _MOST:
        raise Malformed(path, "is a number of more than 64 bits")
    return value


def _real(value: Any, path: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Malformed(path, f"is {_kind(value)}, not a number")
    return float(value)


def _truth(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(path, f"is {_kind(value)}, not true or false")
    return value


def _lsn(value: Any, path: str) -> Lsn:
    try:
        return Lsn.parse(_text(value, path))
    except CheckpointError:
        raise Malformed(path, f"is not a position in the log: {_shown(value)}") from None


def first_line(error: BaseException) -> str:
    """The beginning of an error's words, for a message."""
    return _shown(str(error).partition("\n")[0])


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    names = {bool: "a truth", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "something else")


def _shown(value: Any) -> str:
    if isinstance(value, list | dict):
        return _kind(value)
    text = str(value) if not isinstance(value, int) or -_MOST <= value <= _MOST else "a very large number"
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
