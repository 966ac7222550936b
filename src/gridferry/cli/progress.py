"""A load while it runs: bars with rows/s and time left on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from gridferry import numbers
from gridferry.cli.output import Output

if TYPE_CHECKING:
    from gridferry.engine.events import Event, Listener, LoadsStarted, LoadStarted, Note
    from gridferry.engine.load.progress import LoadProgress

LINE_INTERVAL_S = 5.0
MILESTONES = 4  # a line is printed at each such part of the chunks too,
MILESTONE_INTERVAL_S = 1.0  # unless the last line is younger
_NAME_WIDTH = 24
_MOST_BARS = 8


@contextmanager
def follow_load(output: Output) -> Iterator[Listener]:
    """A listener that shows what it hears, for the time of the block. May be called from any thread."""
    if output.quiet:
        yield QuietListener(output)
    elif output.err.is_terminal:
        with _bars(output) as progress:
            yield BarListener(output, progress)
    else:
        yield LineListener(output)


class QuietListener:
    """Lets only warnings through."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        from gridferry.engine.events import Level, Note

        if isinstance(event, Note) and event.level is Level.WARNING:
            _show_note(self._output, event)


class BarListener:
    """A bar for each table; of several tables one for all, and one for each that has several chunks and is at work."""

    def __init__(self, output: Output, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._progress = progress
        self._clock = clock
        self._lock = threading.Lock()
        self._bars: dict[str, TaskID] = {}
        self._all: LoadProgress | None = None
        self._bar_of_all = TaskID(0)

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        from gridferry.engine.events import LoadsStarted, LoadStarted, Note, RowsPut
        from gridferry.engine.load.progress import LoadProgress

        with self._lock:
            if isinstance(event, Note):
                _show_note(self._output, event)
            elif isinstance(event, LoadsStarted):
                self._all = LoadProgress(event, now=self._clock())
                self._bar_of_all = self._progress.add_task(
                    _tables(self._all), total=event.rows or None, completed=event.done_rows, before=event.done_rows
                )
            elif isinstance(event, LoadStarted) and self._is_shown(event):
                bar = self._progress.add_task(
                    _short(event.table), total=event.rows or None, completed=event.done_rows, before=event.done_rows
                )
                self._bars[event.table] = bar
            elif isinstance(event, RowsPut) and event.table in self._bars:
                self._progress.advance(self._bars[event.table], event.rows)
            if self._all is not None:
                self._tell_all(self._all, event)

    def _is_shown(self, event: LoadStarted) -> bool:
        return self._all is None or (event.chunks > 1 and len(self._bars) < _MOST_BARS)

    def _tell_all(self, progress: LoadProgress, event: Event) -> None:
        from gridferry.engine.events import TableFailed, TableLoad

        progress.hear(event)
        self._progress.update(
            self._bar_of_all,
            description=_tables(progress),
            completed=progress.rows,
            left_s=progress.left_s(self._clock()),
        )
        if isinstance(event, TableLoad | TableFailed) and event.table in self._bars:
            self._progress.remove_task(self._bars.pop(event.table))


def _tables(progress: LoadProgress) -> str:
    return f"{progress.ended} of {numbers.plural(progress.started.tables, 'table')}"


@dataclass
class _Course:
    """How far one table is."""

    started: LoadStarted
    begun: float
    printed: float
    rows: int = 0
    chunks: int = 0


class LineListener:
    """A line at the start, every few seconds, and at each quarter of the chunks. Of several tables a line for all of
    them every few seconds, and one for each that is loaded and took as long as that.
    """

    def __init__(self, output: Output, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._clock = clock
        self._lock = threading.Lock()
        self._courses: dict[str, _Course] = {}
        self._all: LoadProgress | None = None
        self._printed = 0.0

    def __call__(self, event: Event) -> None:
        """Hear one event."""
        from gridferry.engine.events import ChunkDone, LoadsStarted, LoadStarted, Note, RowsPut

        with self._lock:
            if isinstance(event, Note):
                _show_note(self._output, event)
            elif isinstance(event, LoadsStarted):
                self._start_all(event)
            elif self._all is not None:
                self._tell_all(self._all, event)
            elif isinstance(event, LoadStarted):
                self._start(event)
            elif isinstance(event, RowsPut) and event.table in self._courses:
                self._put(self._courses[event.table], event.rows)
            elif isinstance(event, ChunkDone) and event.table in self._courses:
                self._chunk(self._courses[event.table])

    def _start_all(self, event: LoadsStarted) -> None:
        from gridferry.engine.load.progress import LoadProgress

        self._printed = self._clock()
        self._all = LoadProgress(event, now=self._printed)
        before = f"; {numbers.plural(event.done_rows, 'row')} done before" if event.done_rows else ""
        size = f", {numbers.size(event.octets)} in PostgreSQL" if event.octets else ""
        line = f"{numbers.plural(event.tables, 'table')}: {numbers.plural(event.rows, 'row')}{size}{before}"
        self._output.note(line, style="")

    def _tell_all(self, progress: LoadProgress, event: Event) -> None:
        from gridferry.engine.events import TableLoad

        progress.hear(event)
        now = self._clock()
        if isinstance(event, TableLoad) and event.seconds >= LINE_INTERVAL_S:
            self._output.note(
                f"{event.table}: {event.outcome.value}, {numbers.plural(event.rows, 'row')}, "
                f"{numbers.duration(event.seconds)}",
                style="",
            )
        if now - self._printed >= LINE_INTERVAL_S:
            self._printed = now
            self._output.note(progress.line(now), style="")

    def _start(self, event: LoadStarted) -> None:
        now = self._clock()
        self._courses[event.table] = _Course(event, now, now)
        line = (
            f"{event.table}: {numbers.plural(event.rows, 'row')} in {numbers.plural(event.chunks, 'chunk')}, "
            f"{numbers.plural(event.workers, 'worker')}"
        )
        if event.done_chunks:
            line += (
                f"; {numbers.plural(event.done_chunks, 'chunk')} ({numbers.count(event.done_rows)} rows) done before"
            )
        self._output.note(line, style="")

    def _put(self, course: _Course, rows: int) -> None:
        course.rows += rows
        if self._clock() - course.printed >= LINE_INTERVAL_S:
            self._print(course)

    def _chunk(self, course: _Course) -> None:
        before, course.chunks = course.chunks, course.chunks + 1
        left = max(course.started.chunks - course.started.done_chunks, 1)
        passed = before * MILESTONES // left != course.chunks * MILESTONES // left
        if passed and self._clock() - course.printed >= MILESTONE_INTERVAL_S:
            self._print(course)

    def _print(self, course: _Course) -> None:
        course.printed = self._clock()
        seconds = course.printed - course.begun
        done, total = course.started.done_rows + course.rows, course.started.rows
        speed = course.rows / seconds if seconds > 0 else 0.0
        line = f"{course.started.table}: {numbers.count(done)} of {numbers.count(total)} rows"
        if speed:
            line += f", {numbers.rate(speed)}"
            if (total - done) / speed >= 0.5:
                line += f", about {numbers.duration((total - done) / speed)} left"
        self._output.note(line, style="")


class _Rows(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = f"/{numbers.count(int(task.total))}" if task.total else ""
        return Text(f"{numbers.count(int(task.completed))}{total}", style="green")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = _speed(task)
        return Text(numbers.rate(speed) if speed else "", style="cyan")


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = _speed(task)
        if task.finished:
            return Text(numbers.duration(task.finished_time or 0.0), style="dim")
        left_s = task.fields.get("left_s", (task.remaining or 0) / speed if speed else None)
        return Text("" if left_s is None else f"{numbers.duration(left_s)} left", style="dim")


def _speed(task: Task) -> float:
    """Rows per second since the bar began: puts come in bursts, so that the speed of the last moment says little."""
    seconds = task.finished_time or task.elapsed or 0.0
    return float(task.completed - task.fields["before"]) / seconds if seconds else 0.0


@contextmanager
def _bars(output: Output) -> Iterator[Progress]:
    single = {"no_wrap": True}
    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(**single, overflow="ellipsis")),  # type: ignore[arg-type]
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),
        _Rows(Column(**single, justify="right")),  # type: ignore[arg-type]
        _Speed(Column(**single, justify="right")),  # type: ignore[arg-type]
        _Left(Column(**single, justify="right")),  # type: ignore[arg-type]
    )
    with Progress(*columns, console=output.err, expand=output.err.width < 100) as progress:
        yield progress


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "…"


def _show_note(output: Output, note: Note) -> None:
    from gridferry.engine.events import Level

    text = f"{note.table}: {note.message}" if note.table else note.message
    if note.level is Level.WARNING:
        output.warn(text)
    else:
        output.note(text)
