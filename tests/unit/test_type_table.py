"""The page of type rules is the one that the code makes."""

from __future__ import annotations

from tools.type_table import PAGE, page


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tools/type_table.py"
