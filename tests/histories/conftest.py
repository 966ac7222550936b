"""Histories are played on processes of their own while their tests wait, each for its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.histories.league import League

REAL = bool(os.environ.get("GRIDFERRY_TEST_GRIDDB"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, action="append", help="play the history of this seed only")


def pytest_report_header() -> str:
    return f"histories: {'real GridDB, which is not crashed' if REAL else 'embedded GridDB'}"


@pytest.fixture(scope="session")
def league() -> Iterator[League]:
    """The players of this session."""
    with League(real=REAL) as players:
        yield players
