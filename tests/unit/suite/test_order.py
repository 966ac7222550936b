"""The order of the files of tests."""

from __future__ import annotations

from pathlib import Path

from tests.order import LONGEST, place

ROOT = Path(__file__).parents[3]


def test_what_takes_longest_comes_first_and_stands_where_it_is_said_to() -> None:
    assert [name for name in LONGEST if not (ROOT / name).exists()] == []
    nodes = ["tests/unit/a.py::t", "tests/e2e/test_z.py::t", f"{LONGEST[0]}::t[0]"]
    assert sorted(nodes, key=place) == nodes[::-1]
