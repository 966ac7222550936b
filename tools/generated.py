"""Pages of the documentation that are made from the code: written, or with `--check` compared."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(page: Path, text: str, *, tool: str) -> int:
    """Write `text` to the page, or with `--check` compare it. Returns the exit code; 1 tells of a stale page."""
    if "--check" in sys.argv[1:]:
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            print(f"{page.name} is stale: run python tools/{tool}.py")
            return 1
        return 0
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return 0
