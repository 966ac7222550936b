"""Commands run against the fake engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.cli.fakes import FakeMigration
from typer.testing import CliRunner, Result

from gridferry.cli import opening
from gridferry.cli.main import app
from gridferry.engine.events import ignore


@pytest.fixture
def migration(monkeypatch: pytest.MonkeyPatch) -> FakeMigration:
    """The engine that commands get."""
    fake = FakeMigration()

    def open_migration(
        config: object,
        *,
        listener: Callable[[Any], None] = ignore,
        with_target: bool = True,
        transactions_s: float | None = None,
    ) -> FakeMigration:
        fake.listener = listener
        fake.transactions_s = transactions_s
        return fake

    monkeypatch.setattr(opening, "open_migration", open_migration)
    return fake


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run a command line; the result has stdout, stderr and exit_code."""
    monkeypatch.delenv("GRIDFERRY_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(app, list(arguments), **options)
