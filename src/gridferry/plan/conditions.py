"""A user's `where`, read as far as it must be whole: what is opened is closed, and it is one condition."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<line>--[^\n]*)                                    # a comment to the end of the line
  | (?P<open>/\*) | (?P<close>\*/)                        # a comment that may hold others
  | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?P<ee>'?))      # E'...': a backslash hides a quote
  | (?P<quoted>'(?:[^']|'')*(?P<qe>'?))
  | (?P<name>"(?:[^"]|"")*(?P<ne>"?))
  | (?P<dollar>(?<![A-Za-z0-9_$])\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$)
  | (?P<sign>[();])
    """,
    re.VERBOSE | re.DOTALL,
)


def condition_problem(text: str) -> str:
    """What keeps `text` from being one whole SQL condition, as the end of a sentence; "" where nothing is seen.

    Whether its names and types are right only PostgreSQL knows.
    """
    if "\0" in text:
        return "holds a NUL byte"
    depth = at = 0
    while (found := _TOKEN.search(text, at)) is not None:
        at, problem = _after(text, found)
        if problem:
            return problem
        depth += {"(": 1, ")": -1}.get(found.group(), 0)
        if depth < 0:
            return "closes a parenthesis that it does not open"
    return "opens a parenthesis that it does not close" if depth else ""


def _after(text: str, found: re.Match[str]) -> tuple[int, str]:
    """Where it goes on after what was found, and what is wrong with that."""
    start = found.group()
    if start == ";":
        return found.end(), "holds a semicolon: it must be one condition"
    if found.group("open") is not None:
        at = _after_comment(text, found.end())
        return at, "" if at >= 0 else "has a comment /* without its */"
    if found.group("dollar") is not None:
        end = text.find(start, found.end())
        return end + len(start), "" if end >= 0 else f"has a text {start} without its end"
    for quoted, end_of, sign in (("escaped", "ee", "'"), ("quoted", "qe", "'"), ("name", "ne", '"')):
        if found.group(quoted) is not None and not found.group(end_of):
            return found.end(), f"has a quote {sign} without its partner"
    return found.end(), ""


def _after_comment(text: str, at: int) -> int:
    """Where the comment ends whose `/*` ends at `at`; -1 where it does not."""
    depth = 1
    while depth:
        opened, closed = text.find("/*", at), text.find("*/", at)
        if closed < 0:
            return -1
        if 0 <= opened < closed:
            depth, at = depth + 1, opened + 2
        else:
            depth, at = depth - 1, closed + 2
    return at
