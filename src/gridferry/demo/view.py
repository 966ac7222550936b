"""What shows the demo to whoever runs it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from gridferry.engine.events import Listener, TableLoad, TableSync
from gridferry.griddb import QueryResult
from gridferry.model.repair import RepairReport
from gridferry.model.verification import VerifyReport
from gridferry.plan.plan import Plan


class DemoView(Protocol):
    """Shows the demo: each method one thing."""

    def step(self, line: str, *, command: str = "") -> None:
        """A step begins; `command` does the same by hand."""

    def waiting(self, text: str) -> AbstractContextManager[None]:
        """Something takes a moment."""

    def text(self, text: str) -> None:
        """A file, as it is."""

    def command(self, command: str) -> None:
        """A command that does by hand what comes next."""

    def said(self, text: str) -> None:
        """What is to be known of the step just shown."""

    def plan(self, plan: Plan) -> None:
        """The plan."""

    def loading(self) -> AbstractContextManager[Listener]:
        """A load runs inside this block."""

    def loaded(self, loads: list[TableLoad]) -> None:
        """The load is done."""

    def verified(self, report: VerifyReport) -> None:
        """Both sides are compared."""

    def repaired(self, report: RepairReport) -> None:
        """Rows that differed are written."""

    def page(self, page: str) -> None:
        """The report's page, to be kept."""

    def synced(self, syncs: list[TableSync]) -> None:
        """A sync is done."""

    def rows(self, result: QueryResult) -> None:
        """The first rows of a query."""

    def value(self, result: QueryResult) -> None:
        """The value of an aggregation."""
