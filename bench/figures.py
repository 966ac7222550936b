"""What a run of the benchmark found: figures by part, as a table for people and as JSON for machines."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

WIDTH = 100
VERSION = 1  # of the JSON document
RATIO = "ratio"  # what the document says where a figure has no unit: one figure of the run by another


class RunFailed(Exception):
    """Something measured did not do what it should; the message says what."""


@dataclass(frozen=True)
class Figure:
    """One measured number. `aim` is the most it should be; the least, where `more_is_better`."""

    part: str
    name: str
    value: float
    unit: str
    aim: float | None = None
    more_is_better: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.more_is_better else self.value <= self.aim

    @property
    def gains_by_more(self) -> bool:
        """Whether a greater value is a better one: a rate always, others where they say so."""
        return self.more_is_better or self.unit.endswith("/s")

    def to_json(self) -> dict[str, Any]:
        """As it stands in the document."""
        better = "more" if self.gains_by_more else "less"
        return {**asdict(self), "unit": self.unit or RATIO, "better": better, "met": self.met}


@dataclass
class Results:
    """All figures of one run, lines that say what is missing and what failed, and the seconds each part took."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, figures: Sequence[Figure]) -> None:
        """Keep more figures."""
        self.figures += figures

    def value(self, part: str, name: str) -> float | None:
        """A figure found before, or None."""
        return next((f.value for f in self.figures if (f.part, f.name) == (part, name)), None)

    def document(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The JSON document: facts about machine and versions, figures, notes."""
        figures = [figure.to_json() for figure in self.figures]
        told = {"notes": self.notes, "failed": self.failed, "seconds": self.seconds}
        return {"version": VERSION, **facts, "figures": figures, **told}

    def table(self) -> Table:
        """The figures, a section a part."""
        table = Table(width=WIDTH, title="gridferry: figures of one run (read the ratios)", title_justify="left")
        table.add_column("", ratio=1)
        table.add_column("value", justify="right", no_wrap=True)
        table.add_column("aim", justify="right", no_wrap=True)
        table.add_column("", max_width=24)
        for part, figures in self._by_part():
            table.add_row(f"[bold]{part}[/]")
            for index, figure in enumerate(figures):
                table.add_row(*_cells(figure), end_section=index == len(figures) - 1)
        return table

    def _by_part(self) -> Iterator[tuple[str, list[Figure]]]:
        for part in dict.fromkeys(figure.part for figure in self.figures):
            yield part, [figure for figure in self.figures if figure.part == part]


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    aim = ""
    if figure.aim is not None:
        aim = f"{'>=' if figure.more_is_better else '<='} {number(figure.aim)}"
    mark = "" if figure.met is None else "[green]yes[/]" if figure.met else "[red]no[/]"
    note = " ".join(filter(None, (mark, figure.note)))
    return f"  {figure.name}", f"{number(figure.value)} {figure.unit}".strip(), aim, note


def number(value: float) -> str:
    """A value for people: three digits or so."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 10 else f"{value:.1f}"


def median_of(times: int, measure: Callable[[], float]) -> float:
    """The middle of several measurements."""
    return statistics.median(measure() for _ in range(times))
