#!/usr/bin/env python3
"""Choose from the lock what to install beside the packages that are in an image already.

Reads `uv export`'s lines on stdin and writes those of packages that this Python does not have, and of the packages
named as arguments in any case. What the image brings stays as it was tested together there; everything else comes in
the version, and with the hashes, that gridferry's own tests ran with. `pip check` afterwards says whether both fit.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions

_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==")


def wanted(lines: Iterable[str], *, there: frozenset[str], always: frozenset[str]) -> Iterator[str]:
    """The lines of requirements whose package is not in `there`, or is in `always`. Raises: ValueError for a line that
    pins nothing."""
    keep = False
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            match = _NAME.match(line)
            if match is None:
                raise ValueError(f"not a pinned requirement: {line.strip()}")
            name = normal(match[1])
            keep = name in always or name not in there
        if keep:
            yield line


def normal(name: str) -> str:
    """A package's name in the one form that PyPI compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(always: list[str]) -> int:
    """Returns the exit code."""
    there = frozenset(normal(found.metadata["Name"]) for found in distributions())
    try:
        sys.stdout.writelines(wanted(sys.stdin, there=there, always=frozenset(map(normal, always))))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
