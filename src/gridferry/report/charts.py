"""Charts as SVG inside the page: no script, no colours of their own, those of the page's style sheet.

pygal draws them; what it adds for pages of another make (scripts, styles, hover boxes) is taken out again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any
from xml.etree import ElementTree

import pygal
from markupsafe import Markup

from gridferry import numbers

# pygal hooks itself into every later import of the process, to find plug-ins that nobody here has; in a form that
# Python 3.11 warns of at each of them.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

WIDTH, HEIGHT = 360, 150
_STEPS_S = (
    1,
    5,
    15,
    60,
    300,
    900,
    3600,
    10_800,
    21_600,
    43_200,
    *(86_400 * n for n in (1, 2, 7, 14, 30, 90, 365, 3650)),
)
_DAY, _YEAR = 86_400, 365 * 86_400
_MOST_TICKS = 4
_LAGS_S = (1, 2, 4, 10, 20, 40, 60, 120, 240, 600, 1200, 2400, 3600, 7200, 14_400, 28_800, 43_200, 86_400)
_LEFT_OUT = frozenset({"defs", "title", "desc"})
_EMPTY = frozenset({"titles", "plot text-overlay", "plot tooltip-overlay", "background"})

Point = tuple[float, float]


def rows_chart(
    source: Sequence[int] | None,
    target: Sequence[int] | None,
    *,
    start_s: float,
    width_s: int,
    marked: Iterable[int] = (),
    title: str,
) -> Markup:
    """Rows by time bucket: an area for the source, a line for the target, a dot over each bucket in `marked`."""
    sides = [side for side in (source, target) if side is not None]
    count = max((len(side) for side in sides), default=0)
    top = max((max(side, default=0) for side in sides), default=0)
    chart = _chart(start_s, start_s + count * width_s, nice_top(top), short_number)
    lone = count == 1

    def points(side: Sequence[int] | None) -> list[Point]:
        return [(start_s + (i + 0.5) * width_s, n) for i, n in enumerate(side or ())]

    chart.add("PostgreSQL", points(source), fill=True, show_dots=lone)
    chart.add("GridDB", points(target), show_dots=lone)
    dots = sorted({i for i in marked if 0 <= i < count})
    peaks = [(start_s + (i + 0.5) * width_s, max(side[i] for side in sides)) for i in dots]
    chart.add("differs", peaks, stroke=False, show_dots=True, dots_size=3)
    return _svg(chart, title)


def lag_chart(points: Sequence[Point], *, title: str) -> Markup:
    """A lag in seconds over time in seconds of the epoch."""
    top = max(lag for _, lag in points)
    bound = next((step for step in _LAGS_S if top <= step), nice_top(top / _DAY) * _DAY)
    chart = _chart(points[0][0], points[-1][0], bound, _seconds)
    chart.add("PostgreSQL", [])
    chart.add("lag", list(points), fill=True)
    return _svg(chart, title)


def tick_texts(low_s: float, high_s: float) -> dict[float, str]:
    """Up to five round times from `low_s` to `high_s`, and how they are written, in UTC."""
    span = max(1.0, high_s - low_s)
    step = next((s for s in _STEPS_S if span / s <= _MOST_TICKS), int(span / _MOST_TICKS))
    first = int(-(-low_s // step)) * step
    places = [float(first + i * step) for i in range(_MOST_TICKS + 1) if first + i * step <= high_s]
    form = _form(span, step)
    return {place: form(datetime.fromtimestamp(place, timezone.utc)) for place in places}


def nice_top(value: float) -> float:
    """The least of some round numbers that is not below `value`; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 1.0
    return next(power * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if value <= power * step)


def short_number(value: float) -> str:
    """`950`, `1.5k`, `12k`, `3M`."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{sign}"
    return f"{value:.3g}"


def _form(span: float, step: int) -> Callable[[datetime], str]:
    if span >= 2 * _YEAR:
        return lambda t: f"{t:%Y}" if step >= _YEAR else f"{t:%b %Y}"
    if step >= _DAY:
        return lambda t: f"{t.day} {t:%b}"
    if span > _DAY:
        return lambda t: f"{t.day} {t:%b %H:%M}"
    return (lambda t: f"{t:%H:%M}") if step >= 60 else (lambda t: f"{t:%H:%M:%S}")


def _chart(low_s: float, high_s: float, bound: float, shown: Callable[[float], str]) -> Any:
    ticks = tick_texts(low_s, high_s)
    return pygal.XY(
        css=[],
        js=[],
        width=WIDTH,
        height=HEIGHT,
        margin=2,
        spacing=4,
        show_legend=False,
        show_dots=False,
        range=(0, bound),
        xrange=(low_s, max(high_s, low_s + 1)),
        x_labels=list(ticks),
        y_labels=[0.0, bound] if bound == 1 else [0.0, bound / 2, bound],
        x_value_formatter=lambda x: ticks.get(x, ""),
        value_formatter=shown,
        no_data_text="no rows",
    )


def _seconds(value: float) -> str:
    if value >= _DAY:
        return f"{value / _DAY:.3g} d"
    return numbers.duration(value).removesuffix(" 0 s").removesuffix(" 0 min") if value else "0"


def _svg(chart: Any, title: str) -> Markup:
    root = chart.render_tree()
    for name in ("id", "xmlns:xlink"):
        root.attrib.pop(name, None)
    _prune(root)
    root.set("role", "img")
    root.set("aria-label", title)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it


def _prune(element: Any) -> None:
    for child in list(element):
        if not isinstance(child.tag, str) or child.tag in _LEFT_OUT or child.get("class") in _EMPTY:
            element.remove(child)
            continue
        _shorten(child)
        _prune(child)
        if child.tag == "g" and not len(child):
            element.remove(child)


def _shorten(element: Any) -> None:
    """Coordinates with one digit: a tenth of a unit is less than a pixel."""
    element.attrib.pop("style", None)
    for name in ("x", "y", "cx", "cy"):
        if name in element.attrib:
            element.set(name, f"{float(element.get(name)):.1f}")
    if "d" in element.attrib:
        element.set("d", " ".join(_short_word(word) for word in element.get("d").split()))


def _short_word(word: str) -> str:
    letter = word[:1] if word[:1].isalpha() else ""
    try:
        return letter + ",".join(f"{float(part):.1f}" for part in word[len(letter) :].split(","))
    except ValueError:
        return word
