"""What the config wants of one column: its type, and what becomes of values that it does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from gridferry.griddb.schema import GridType
from gridferry.model.epoch import EpochUnit
from gridferry.plan.sync_options import Options

TYPE_NAMES: dict[str, GridType] = {
    t.label.lower(): t
    for t in (
        GridType.STRING,
        GridType.BLOB,
        GridType.BOOL,
        GridType.BYTE,
        GridType.SHORT,
        GridType.INTEGER,
        GridType.LONG,
        GridType.FLOAT,
        GridType.DOUBLE,
        GridType.TIMESTAMP_MS,
        GridType.TIMESTAMP_US,
    )
}
T = TypeVar("T")
_WISH_WORDS = ("type", "exact", "scale", "from", "out_of_range")
_MOST_SCALE = 18


class OutOfRange(str, Enum):
    """What to do with values of a column that its type cannot hold. None of these: another type."""

    ERROR = "error"
    NULL = "null"
    CLAMP = "clamp"
    QUARANTINE = "quarantine"


class ColumnWish(Options):
    """What the user wants of one column: a type, and what becomes of values that it cannot hold.

    `exact` of a numeric as a double: whether a number that would not come back is refused, or rounded; None lets the
    data decide. With `scale` a numeric becomes a LONG of that many decimals. `unit`, in the file `from`, is what a
    number counts that becomes a time. `out_of_range` may be a type, which the column gets if the data needs it.
    """

    type: GridType | None = None
    exact: bool | None = None
    scale: int | None = None
    unit: EpochUnit | None = None
    out_of_range: OutOfRange | GridType | None = None

    @classmethod
    def read(cls, name: str, given: object) -> ColumnWish:
        """The wish as it stands in the config file: a type, or pairs. Raises: ValueError."""
        if isinstance(given, ColumnWish):
            return given
        if not isinstance(given, Mapping):
            return cls(type=_type_of(name, given))
        unknown = sorted(set(map(str, given)) - set(_WISH_WORDS))
        if unknown or not given:
            what = f"does not know {unknown[0]}" if unknown else "is empty"
            raise ValueError(f'column "{name}" {what}; allowed: {", ".join(_WISH_WORDS)}')
        wish = cls(
            type=_type_of(name, given["type"]) if "type" in given else None,
            exact=_one_of(name, "exact", given.get("exact"), bool),
            scale=_one_of(name, "scale", given.get("scale"), int),
            unit=_unit(name, given["from"]) if "from" in given else None,
            out_of_range=_beyond(name, given["out_of_range"]) if "out_of_range" in given else None,
        )
        wish._require_sense(name)
        return wish

    def _require_sense(self, name: str) -> None:
        problems = (
            (self.exact is not None and self.type is not GridType.DOUBLE, "exact needs `type: double`"),
            (self.scale is not None and self.type is not GridType.LONG, "scale needs `type: long`"),
            (self.scale is not None and not 0 < self.scale <= _MOST_SCALE, f"scale is 1 to {_MOST_SCALE}"),
            (
                self.unit is not None and self.type not in (GridType.TIMESTAMP_MS, GridType.TIMESTAMP_US),
                "from needs `type: timestamp(3)` or `type: timestamp(6)`",
            ),
            (
                self.type is not None and isinstance(self.out_of_range, GridType),
                "out_of_range names a type, and type another; leave one out",
            ),
        )
        for wrong, sentence in problems:
            if wrong:
                raise ValueError(f'column "{name}": {sentence}')


def _type_of(name: str, given: object) -> GridType:
    kind = given if isinstance(given, GridType) else TYPE_NAMES.get(str(given).lower().replace(" ", ""))
    if kind is None:
        raise ValueError(f'the type wanted for column "{name}" is not known; allowed: {", ".join(TYPE_NAMES)}')
    return kind


def _unit(name: str, given: object) -> EpochUnit:
    found = next((unit for unit in EpochUnit if unit.value == str(given).lower()), None)
    if found is None:
        raise ValueError(f'column "{name}": from is {", ".join(unit.value for unit in EpochUnit)}')
    return found


def _one_of(name: str, option: str, given: object, kind: type[T]) -> T | None:
    if given is None or type(given) is kind:
        return given
    raise ValueError(f'column "{name}": {option} is {"true or false" if kind is bool else "a whole number"}')


def _beyond(name: str, given: object) -> OutOfRange | GridType:
    # `null` without quotes is YAML's own.
    word = "null" if given is None else str(given).lower().replace(" ", "")
    if word in {each.value for each in OutOfRange}:
        return OutOfRange(word)
    if word in TYPE_NAMES:
        return TYPE_NAMES[word]
    words = ", ".join(each.value for each in OutOfRange)
    raise ValueError(
        f'column "{name}": out_of_range is {words}, or a type that holds every value, such as long or string'
    )
