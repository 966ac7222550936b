"""From facts to HTML. Every value is escaped by the template; the policy lets the page's own style and script run."""

from __future__ import annotations

from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup

from gridferry import numbers
from gridferry.airflow.page import sparklines
from gridferry.airflow.page.choice import Choice, Only, Order
from gridferry.airflow.page.facts import ContainerRow, LiveCounts, PageFacts
from gridferry.airflow.page.routes import JSON
from gridferry.model import coverage_words
from gridferry.model.moment import age_s, shown
from gridferry.report.escaped import escaping, source_hash

_SIGNS = {
    "equal": "✓ equal",
    "different": "≠ different",
    "failed": "✕ not readable",
    "unsettled": "… not settled",
    "incomplete": "… incomplete",
    "unverified": "○ not verified",
    "unfinished": "○ not loaded",
    "": "○ not verified",
}
_ONLY = {
    Only.ALL: "all",
    Only.DIFFERS: "that differ",
    Only.UNVERIFIED: "never verified",
    Only.HELD: "with quarantined rows",
}
_ORDER = {
    Order.NEED: "need a look first",
    Order.NAME: "by name",
    Order.LAST: "longest without sync first",
    Order.HELD: "most quarantined first",
    Order.ROWS: "most rows first",
}


def render(facts: PageFacts, choice: Choice) -> str:
    """The page."""
    return _template().render(
        facts=facts,
        choice=choice,
        only=[(wish.value, words) for wish, words in _ONLY.items()],
        order=[(wish.value, words) for wish, words in _ORDER.items()],
        api=JSON[1:],
        style=Markup(_text("parity.css")),  # noqa: S704 - a file of this package
        script=Markup(_text("parity.js")),  # noqa: S704 - a file of this package
    )


@cache
def _template() -> jinja2.Template:
    environment = escaping(_text)
    environment.filters.update(count=numbers.count, plural=numbers.plural, moment=shown, ago=_ago, lag=_long)
    environment.filters.update(columns=coverage_words.columns, remarks=coverage_words.remarks)
    environment.globals.update(
        signs=_SIGNS, bars=_bars, lines=sparklines.lines, lines_title=sparklines.lines_title, since=_since
    )
    return environment.get_template("parity.html.j2")


def _bars(row: ContainerRow, counted: LiveCounts) -> Markup:
    if row.live is None or not row.live.series:
        return Markup("")
    most = numbers.plural(max(row.live.series), "row")
    words = f"Rows of {row.facts.name} from {shown(counted.start)} to {shown(counted.end)} UTC, at most {most} a bar"
    return sparklines.bars(row.live.series, words)


def _since(row: ContainerRow) -> str:
    """How the container's rows changed since its last verification: `+12`, `-1`, ""."""
    if row.live is None or row.facts.verified_rows is None or row.live.rows == row.facts.verified_rows:
        return ""
    return f"{row.live.rows - row.facts.verified_rows:+,}"


def _ago(stamp: str, now: str) -> str:
    """`3 min 5 s ago`."""
    seconds = age_s(stamp, now) if stamp else None
    return "" if seconds is None else f"{_long(seconds)} ago"


def _long(seconds: float) -> str:
    """A duration; days, where it is more than two of them."""
    if seconds >= 2 * 86_400:
        return numbers.plural(round(seconds / 86_400), "day")
    return numbers.duration(seconds)


@cache
def _text(name: str) -> str:
    return (resources.files("gridferry.airflow.page") / "templates" / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    return source_hash(_text(name))


POLICY = (
    f"default-src 'none'; style-src '{_hash('parity.css')}'; script-src '{_hash('parity.js')}'; connect-src 'self'; "
    "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
