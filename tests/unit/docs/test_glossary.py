"""What the pages say of the code is there: every dotted name can be imported, every test that is named exists."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = ("architecture.md", "glossary.md", "protocol.md", "protocol-sql.md", "traps.md")
NAME = re.compile(r"`(gridferry(?:\.\w+)+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TRAP = re.compile(r"trap[_ ]0?(\d+)")


def names(page: str) -> list[str]:
    return sorted(set(NAME.findall((DOCS / page).read_text(encoding="utf-8"))))


def found(name: str) -> bool:
    """Whether `name` is a module, or an attribute of the longest beginning of it that is one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            place: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(place, attribute):
                return False
            place = getattr(place, attribute)
        return True
    return False


def functions_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_every_name_on_a_page_can_be_imported(page: str) -> None:
    assert [name for name in names(page) if not found(name)] == []


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert not found("gridferry.errors.NoSuchError")
    assert not found("gridferry.no_such_room")


def test_the_glossary_names_code_for_every_word() -> None:
    rows = [line for line in (DOCS / "glossary.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    words = [row for row in rows if not row.startswith(("| word |", "| where is"))]
    assert len(words) > 50
    assert [row for row in words if not NAME.search(row)] == []


def test_every_test_that_traps_names_exists() -> None:
    named = TEST.findall((DOCS / "traps.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    assert [f"{file}::{test}" for file, test in named if test not in functions_in(ROOT / file)] == []


def test_every_trap_has_a_section_and_every_test_of_a_trap_is_named_there() -> None:
    text = (DOCS / "traps.md").read_text(encoding="utf-8")
    sections = {int(number) for number in re.findall(r"^## (\d+)\.", text, re.MULTILINE)}
    named = {test for _, test in TEST.findall(text)}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path == Path(__file__):
            continue
        assert {int(n) for n in TRAP.findall(path.read_text())} <= sections, path
        assert {test for test in functions_in(path) if test.startswith("test_trap_")} <= named, path


def test_sections_that_the_code_names_are_on_the_page() -> None:
    headings = set(re.findall(r"^## (.+)$", (DOCS / "protocol.md").read_text(encoding="utf-8"), re.MULTILINE))
    cited = re.compile(r"docs/protocol\.md, ([A-Z][\w-]*(?: [a-z]+)*)")
    seen = 0
    for path in sorted((ROOT / "src").rglob("*.py")):
        for section in cited.findall(path.read_text(encoding="utf-8")):
            seen += 1
            words = section.split()
            # "Multi-put and below", "Login and Databases": the heading is how it begins.
            assert any(" ".join(words[:n]) in headings for n in range(1, len(words) + 1)), (path, section)
    assert seen > 20


def test_nothing_points_at_pages_that_are_not_here() -> None:
    away = re.compile(r"protocol page|in the design\b|of the design\b|follows `design`")
    for folder in ("src", "tests", "bench", "docs"):
        for path in sorted((ROOT / folder).rglob("*.*")):
            if path.suffix in {".py", ".md", ".java", ".j2"} and path != Path(__file__):
                assert not away.search(path.read_text(encoding="utf-8")), path


def test_modules_that_pages_and_comments_mention_exist() -> None:
    """Short names too: `engine.retry` is `gridferry.engine.retry`."""
    packages = "engine|checkpoint|compare|source.postgres|griddb.net|griddb.wire|metrics|transform"
    mention = re.compile(rf"`((?:{packages.replace('.', chr(92) + '.')})(?:\.\w+)+)`")
    pages = [*DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.py"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
    lost = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in sorted(pages)
        for name in mention.findall(page.read_text(encoding="utf-8"))
        if not found(f"gridferry.{name}")
    ]
    assert lost == []
