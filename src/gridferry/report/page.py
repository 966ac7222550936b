"""The page: one HTML file that needs nothing else, neither network nor script.

The policy in its head names the one style sheet and the one script by their hashes, so nothing that a value brings
with it can run, load or look like part of the page; and every value is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from markupsafe import Markup

from gridferry import numbers
from gridferry.model import coverage_words
from gridferry.model.verification import DifferenceKind
from gridferry.report.drawings import Drawing, lag_drawing, row_drawings, width_text
from gridferry.report.escaped import escaping, source_hash
from gridferry.report.facts import ContainerFacts, ReportFacts, TableFacts
from gridferry.report.failures import not_whole
from gridferry.report.verdicts import moment

ROWS_A_PART = 250
MOST_CONTAINERS = 20_000
MOST_BUCKETS = 200
MOST_DIFFERENCES = 50
MOST_RUNS = 20
_TEMPLATES = "templates"


def render_page(facts: ReportFacts) -> str:
    """The facts as an HTML page."""
    environment = escaping(_text)
    environment.filters.update(
        count=numbers.count,
        plural=numbers.plural,
        size=numbers.size,
        duration=numbers.duration,
        rate=numbers.rate,
        columns=coverage_words.columns,
        other_tables=coverage_words.other_tables,
        why=coverage_words.why,
        not_whole=not_whole,
        moment=lambda stamp: moment(stamp).removesuffix(" UTC"),
        width=width_text,
        plain_time=_plain_time,
    )
    # What the page holds has to be what was hashed, so what is taken out of the page is taken out first.
    style, script = _without_empty_lines(_text("page.css")), _without_empty_lines(_text("page.js"))
    page = environment.get_template("page.html.j2").render(
        facts=facts,
        tables=[(f"t{number}", table, TableView(table, facts)) for number, table in enumerate(facts.tables)],
        style=Markup(style),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        policy=_policy(style, script),
        most_buckets=MOST_BUCKETS,
        most_differences=MOST_DIFFERENCES,
    )
    return _without_empty_lines(page) + "\n"


class TableView:
    """One table's facts in the order and number in which the page shows them."""

    def __init__(self, table: TableFacts, facts: ReportFacts) -> None:
        self.drawings: list[Drawing] = row_drawings(table)
        self.lag = lag_drawing(table.history, facts.made_at)
        self.runs = list(reversed(table.history))[:MOST_RUNS]
        self.last = table.verifications[0] if table.verifications else None
        found = self.last.summary if self.last is not None else ()
        self.kinds = [k.value for k in DifferenceKind if any(getattr(each, k.value) for each in found)]
        self.earlier = table.verifications[1:]
        self.asked = facts.counted_at != ""
        shown = table.containers[:MOST_CONTAINERS]
        self.parts: list[Sequence[ContainerFacts]] = [
            shown[start : start + ROWS_A_PART] for start in range(0, len(shown), ROWS_A_PART)
        ]
        self.hidden = len(table.containers) - len(shown)
        self.has_values = any(c.value is not None for c in table.containers)
        self.has_held = any(c.held for c in table.containers)


def _plain_time(text: str) -> str:
    """A stamp without the letters that part date, time and zone; other text as it is."""
    return f"{text[:10]} {text[11:-1]}" if text.endswith("Z") and text[10:11] == "T" else text


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{source_hash(style)}'; script-src '{source_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _without_empty_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip())


def _text(name: str) -> str:
    return (resources.files("gridferry.report") / _TEMPLATES / name).read_text(encoding="utf-8")
