"""typmods, as PostgreSQL packs them."""

from __future__ import annotations

import pytest

from gridferry.model.table import TypeKind
from gridferry.source.postgres.catalog.pg_types import RawType, pg_type


@pytest.mark.parametrize(
    ("name", "typmod", "length", "precision", "scale"),
    [
        ("varchar", 34, 30, None, None), ("bpchar", 5, 1, None, None), ("varchar", -1, None, None, None),
        ("numeric", ((10 << 16) | 2) + 4, None, 10, 2), ("numeric", ((1000 << 16) | 1000) + 4, None, 1000, 1000),
        ("numeric", ((5 << 16) | (-2 & 0x7FF)) + 4, None, 5, -2), ("numeric", ((3 << 16) | 5) + 4, None, 3, 5),
        ("timestamp", 3, None, 3, None), ("timestamptz", 0, None, 0, None), ("bit", 8, 8, None, None),
        ("int4", -1, None, None, None), ("interval", 2147418118, None, None, None),
    ],
)  # fmt: skip
def test_typmods(name, typmod, length, precision, scale):
    found = pg_type(RawType(name, "pg_catalog", "b", "X", typmod=typmod), formatted="f", domain="d")
    assert (found.length, found.precision, found.scale) == (length, precision, scale)
    assert (found.name, found.formatted, found.domain, found.kind) == (name, "f", "d", TypeKind.BASE)


@pytest.mark.parametrize(
    ("typtype", "category", "kind"),
    [("e", "E", TypeKind.ENUM), ("b", "A", TypeKind.ARRAY), ("c", "C", TypeKind.OTHER), ("r", "R", TypeKind.OTHER),
     ("m", "R", TypeKind.OTHER), ("b", "U", TypeKind.BASE)],
)  # fmt: skip
def test_kinds(typtype, category, kind):
    assert pg_type(RawType("x", "s", typtype, category), formatted="x", domain="").kind is kind
