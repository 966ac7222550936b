"""Sparklines: small SVG without script or colours of its own; the words beside and in it say the same."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from gridferry import numbers
from gridferry.airflow.page.facts import RowsAt
from gridferry.model.moment import moment_of

WIDTH, HEIGHT = 120, 28
_PAD = 2


def bars(series: Sequence[int], title: str) -> Markup:
    """Rows by time bucket, a bar each; a bucket with any row is seen."""
    if not series:
        return Markup("")
    top = max(*series, 1)
    step = WIDTH / len(series)
    shapes = Markup("").join(
        Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(
            _n(i * step), _n(HEIGHT - height), _n(max(step - 0.8, 0.8)), _n(height)
        )
        for i, rows in enumerate(series)
        if (height := max(1.5, (HEIGHT - _PAD) * rows / top) if rows else 0)
    )
    return _svg(shapes, title, "bars")


def lines(rows: Sequence[RowsAt], title: str) -> Markup:
    """Rows of both sides over time: a line each, and a dot at the end, in a range of their own."""
    times = [moment_of(each.at).timestamp() for each in rows]
    counts = [n for each in rows for n in (each.source, each.target) if n is not None]
    if len(rows) < 2 or not counts:
        return Markup("")
    low, high = min(counts), max(counts)
    start, end = min(times), max(times)

    def point(at: float, count: int) -> tuple[str, str]:
        x = _PAD + (WIDTH - 2 * _PAD) * ((at - start) / (end - start) if end > start else 1.0)
        y = HEIGHT - _PAD - (HEIGHT - 2 * _PAD) * ((count - low) / (high - low) if high > low else 0.5)
        return _n(x), _n(y)

    shapes = Markup("")
    for side in ("source", "target"):
        found = [(at, getattr(each, side)) for at, each in zip(times, rows, strict=True)]
        points = [point(at, count) for at, count in found if count is not None]
        if points:
            path = " ".join(f"{x},{y}" for x, y in points)
            shapes += Markup('<polyline class="{}" points="{}"/>').format(side, path)
            shapes += Markup('<circle class="{}" cx="{}" cy="{}" r="2"/>').format(side, *points[-1])
    return _svg(shapes, title, "lines")


def lines_title(rows: Sequence[RowsAt]) -> str:
    """What the lines show, in words."""
    first, last = rows[0], rows[-1]
    return (
        f"Rows in GridDB: {numbers.count(first.target)} at {_when(first.at)}, {numbers.count(last.target)} at "
        f"{_when(last.at)}, from the load and {numbers.plural(sum(r.source is not None for r in rows), 'verification')}"
    )


def _when(stamp: str) -> str:
    return f"{moment_of(stamp):%Y-%m-%d %H:%M} UTC"


def _svg(shapes: Markup, title: str, kind: str) -> Markup:
    return Markup(
        '<svg class="spark {}" role="img" viewBox="0 0 {} {}" preserveAspectRatio="none"><title>{}</title>{}</svg>'
    ).format(kind, WIDTH, HEIGHT, title, shapes)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
