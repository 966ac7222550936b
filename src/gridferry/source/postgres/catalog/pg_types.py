"""pg_type's columns -> `PgType`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gridferry.model.table import PgType, TypeKind

_VARHDRSZ = 4  # typmods of character and numeric types are counted from here; PostgreSQL, varchar.c and numeric.c


@dataclass(frozen=True)
class RawType:
    """A column's type after its domains: `typmod` is the first one set on the way down, -1 for none.

    `shadows` says that a type outside pg_catalog has the name of one inside.
    """

    name: str
    schema: str
    typtype: str
    category: str
    shadows: bool = False
    typmod: int = -1


def pg_type(raw: RawType, *, formatted: str, domain: str) -> PgType:
    """The type as the plan sees it. A type that shadows a built-in name is called `schema.name`."""
    name = f"{raw.schema}.{raw.name}" if raw.shadows else raw.name
    length, precision, scale = _decoded(name, raw.typmod)
    kind = _kind(raw)
    builtin = raw.schema == "pg_catalog" or kind is not TypeKind.BASE
    return PgType(name, formatted, kind, domain, length, precision, scale, builtin)


def _kind(raw: RawType) -> TypeKind:
    if raw.typtype == "e":
        return TypeKind.ENUM
    if raw.category == "A":
        return TypeKind.ARRAY
    return TypeKind.BASE if raw.typtype == "b" else TypeKind.OTHER


def _decoded(name: str, typmod: int) -> tuple[int | None, int | None, int | None]:
    """Length, precision and scale out of a typmod; each None where the type has none."""
    if typmod < 0:
        return None, None, None
    if name in ("varchar", "bpchar"):
        return typmod - _VARHDRSZ, None, None
    if name in ("bit", "varbit"):
        return typmod, None, None
    if name == "numeric":
        packed = typmod - _VARHDRSZ
        # The scale is an 11-bit number with a sign since PostgreSQL 15; before, it was never above 1000.
        return None, (packed >> 16) & 0xFFFF, ((packed & 0x7FF) ^ 1024) - 1024
    if name in ("timestamp", "timestamptz", "time", "timetz"):
        return None, typmod, None
    return None, None, None
