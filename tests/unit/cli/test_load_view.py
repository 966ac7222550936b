"""The result of a load on a screen: of many tables the sums, and whatever there is something to say of."""

from __future__ import annotations

import io

from rich.console import Console

from gridferry.cli.load_view import MOST_SHOWN, MOST_TABLES, load_view
from gridferry.engine.events import TableLoad
from gridferry.model.coverage import Coverage
from gridferry.model.outcomes import LoadOutcome


def shown(loads: list[TableLoad], *, seconds: float = 10.0) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(*load_view(loads, seconds=seconds), sep="\n")
    return stream.getvalue()


def loaded(count: int) -> list[TableLoad]:
    return [TableLoad(f"public.t{n}", LoadOutcome.LOADED, rows=1000, octets=5000, chunks=1) for n in range(count)]


def test_few_tables_have_a_line_each() -> None:
    said = shown(loaded(MOST_TABLES))
    assert all(f"public.t{n}: loaded" in said for n in range(MOST_TABLES))


def test_many_tables_have_their_sums_on_one_screen() -> None:
    before = [TableLoad(f"public.u{n}", LoadOutcome.ALREADY_LOADED, notes=("nothing to do",)) for n in range(20)]
    said = shown([*loaded(480), *before])
    assert "500 tables: 480 loaded, 20 already loaded; 480,000 rows, 10 s, 48,000 rows/s" in " ".join(said.split())
    assert "public.t1" not in said
    assert len(said.splitlines()) <= 24


def test_what_is_not_whole_is_named_among_many_tables() -> None:
    held = TableLoad("public.held", LoadOutcome.LOADED, rows=9, quarantined=1, coverage=Coverage(quarantined=1))
    noted = TableLoad("public.noted", LoadOutcome.RESUMED, rows=9, notes=("1 container holds more",))
    said = shown([*loaded(20), held, noted])
    for part in ("public.held: loaded", "1 in quarantine", "public.noted: resumed", "1 container holds more"):
        assert part in said
    many = [TableLoad(f"public.n{n}", LoadOutcome.LOADED, notes=("odd",)) for n in range(30)]
    assert f"{30 - MOST_SHOWN} more tables with something to say" in shown(many)


def test_what_would_be_done_is_said_of_each_table() -> None:
    planned = [TableLoad(f"public.t{n}", LoadOutcome.PLANNED, notes=(f"problem {n}",)) for n in range(20)]
    said = shown(planned)
    assert all(f"problem {n}" in said for n in range(20))
