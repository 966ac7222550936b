"""The diagram of docs/architecture.md is what the code imports, and the same way as the contracts of import-linter."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src/gridferry"
Edges = set[tuple[str, str]]


def drawn() -> Edges:
    """The arrows of the diagram."""
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    return set(re.findall(r"(\w+) --> (\w+)", diagram))


def rooms() -> set[str]:
    """The packages and modules right below the root, but its own `__init__` and `__main__`."""
    found = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    return {name for name in found if not name.startswith("__")}


def imported(path: Path) -> set[str]:
    """The rooms that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "gridferry":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").removeprefix("gridferry.").split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("gridferry.").split(".")[0] for alias in node.names}
    return found & rooms()


def imports() -> Edges:
    """Which room imports which."""
    edges = set()
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room in rooms():
            edges |= {(room, other) for other in imported(path) if other != room}
    return edges


def reached(edges: Edges, start: str, *, without: tuple[str, str]) -> set[str]:
    """The rooms that arrows lead to, where one arrow is taken away."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        here = waiting.pop()
        for edge in edges:
            if edge[0] == here and edge != without and edge[1] not in found:
                found.add(edge[1])
                waiting.append(edge[1])
    return found


def layers(contract: str) -> list[list[str]]:
    """The layers of a contract, from above; each the names beside each other."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(rf'name = "{contract}"\ntype = "layers"\nlayers = \[\n(.*?)\]', text, re.DOTALL)
    return [re.split(r" [|:] ", layer) for layer in re.findall(r'"([^"]+)"', listed)]


def test_the_diagram_has_every_room_and_every_import_without_short_cuts() -> None:
    actual = imports()
    assert drawn() == {edge for edge in actual if edge[1] not in reached(actual, edge[0], without=edge)}
    assert {room for edge in drawn() for room in edge} == rooms()


def test_every_arrow_goes_down_in_the_contract() -> None:
    found = layers("imports point one way")
    height = {room: -number for number, layer in enumerate(found) for room in layer}
    assert set(height) == rooms()
    assert [(a, b) for a, b in sorted(drawn()) if height[a] <= height[b]] == []


def test_every_room_has_a_line_that_says_where_to_begin() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == rooms()


def test_the_walks_are_numbered_and_name_code_in_every_step() -> None:
    walks = re.findall(r"^## The way of.*?\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert len(walks) == 3
    for walk in walks:
        steps = re.split(r"^(\d+)\. ", walk, flags=re.MULTILINE)[1:]
        assert [int(number) for number in steps[::2]] == list(range(1, len(steps) // 2 + 1))
        assert len(steps) // 2 >= 10
        assert [step for step in steps[1::2] if not re.match(r"`gridferry(\.\w+)+`", step)] == []
