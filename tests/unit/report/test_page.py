"""The page: whole in itself, escaped, bounded, readable without script."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from tests.unit.report.samples import AT, EVIL, LOADED, calm_table, evil_table, failed_table, report

from gridferry.model.outcomes import LoadState
from gridferry.model.table_life import Stage, TableLife
from gridferry.report.facts import LoadFacts, TableFacts
from gridferry.report.page import render_page
from gridferry.report.verdicts import table_headline


class Page(HTMLParser):
    """Elements with their attributes, and the text outside style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.bodies: dict[str, str] = {}
        self.feed(page)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("style", "script"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.bodies[self._inside[-1]] = self.bodies.get(self._inside[-1], "") + data
        else:
            self.texts.append(data)


def test_no_value_becomes_part_of_the_page() -> None:
    page = render_page(report(evil_table(), source=EVIL, target=EVIL, source_note=EVIL))
    seen = Page(page)
    assert len(seen.all("script")) == 1
    assert seen.all("img") == []
    assert not [a for _, attributes in seen.elements for a in attributes if a.startswith("on")]
    assert seen.text.count("<script>document.title='pwned'</script>") >= 30
    assert "pwned" not in seen.bodies["script"] + seen.bodies["style"]


def test_its_policy_allows_its_own_style_and_script_and_nothing_else() -> None:
    seen = Page(render_page(report(calm_table())))
    (policy,) = [m["content"] or "" for m in seen.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(seen.bodies[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not [attributes for _, attributes in seen.elements if "style" in attributes]


def test_nothing_in_it_is_from_elsewhere() -> None:
    seen = Page(render_page(report(calm_table(), evil_table())))
    addresses = [
        value or ""
        for tag, attributes in seen.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")
    ]
    assert addresses
    assert all(address.startswith(("#", "data:,")) for address in addresses)
    assert not re.search(r"url\(|@import|fetch|XMLHttpRequest|WebSocket", seen.bodies["style"] + seen.bodies["script"])


def test_what_people_look_for_is_there_without_script() -> None:
    seen = Page(render_page(report(calm_table())))
    for words in (
        "db.example:5432/production → griddb://admin@griddb.example:10001/myCluster/public",
        "All 405,184 rows in 1 container are equal, checked by value (as of 2026-03-14 09:20:00 UTC, LSN 0/5664EE8).",
        "253,000 rows/s, 15 MB/s",
        "24 MB by 2 workers",
        "device_00002 b8:27:eb:00002 1,002 1,002 2026-03-14 00:00:00.000",
        "Lag 1 min 0 s, 2.0 kB of log to read",
        "Log kept for the slot 4.1 kB",
        "2,016 rows on both sides.",
    ):
        assert words in seen.text
    assert next(d for d in seen.all("div") if d.get("class") == "search").keys() >= {"hidden"}


def test_both_values_of_a_difference_stand_there() -> None:
    table = evil_table()
    text = Page(render_page(report(table))).text
    assert "temp: 22.5 → <script>" in text
    assert "Both sides differ in 1 of 1 container: 1 row with other values, 1 row missing in GridDB" in text
    assert "c<script>document.title='pwned'</script>" in text


def test_every_chart_says_in_words_what_it_shows() -> None:
    seen = Page(render_page(report(calm_table())))
    charts = seen.all("svg")
    assert len(charts) == 1 + 1 + 3  # lag, all containers, each container
    assert all(chart["role"] == "img" and len(chart["aria-label"] or "") > 30 for chart in charts)


def test_headings_descend_and_tables_have_headers() -> None:
    seen = Page(render_page(report(calm_table(), evil_table())))
    levels = [int(tag[1]) for tag, _ in seen.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(seen.all("thead")) == len(seen.all("table"))
    assert all(header.get("scope") == "col" for header in seen.all("th"))
    assert seen.all("html") == [{"lang": "en"}]


@pytest.mark.slow
def test_ten_thousand_containers_are_a_page_of_less_than_5_mb() -> None:
    page = render_page(report(calm_table(10_000)))
    assert len(page.encode()) < 5_000_000
    seen = Page(page)
    assert "device_09999" in seen.text
    parts = [d for d in seen.all("details") if "part" in (d.get("class") or "")]
    assert len(parts) == 40
    assert ["open" in part for part in parts] == [True] + [False] * 39


@pytest.mark.slow
def test_beyond_the_bound_containers_are_counted() -> None:
    assert "5 more containers are in the JSON only" in Page(render_page(report(calm_table(20_005)))).text


@pytest.mark.parametrize("state", [s for s in LoadState if s not in (LoadState.PLANNED, LoadState.LOADED)])
def test_a_table_that_is_not_loaded_has_a_page_too(state: LoadState) -> None:
    load = LoadFacts(state, chunks=5, chunks_done=2, rows=200) if state is not LoadState.NOT_BEGUN else LoadFacts(state)
    table = TableFacts("public.t", table_headline(load, ()), load)
    text = Page(render_page(report(table))).text
    assert table.headline.sentence in text
    assert ("2 of 5" in text) is (state not in (LoadState.NOT_BEGUN, LoadState.NOT_READABLE))


def test_a_side_that_was_not_asked_is_said_to_be() -> None:
    table = calm_table()
    assert table.over_time is not None
    over = replace(table.over_time, series=tuple(replace(s, source=None) for s in table.over_time.series), total=None)
    containers = tuple(replace(c, source_rows=None, source_low="", source_high="") for c in table.containers)
    facts = report(
        replace(table, over_time=over, containers=containers), source_note="It was not reached.", counted_at=""
    )
    text = Page(render_page(facts)).text
    assert "It was not reached." in text
    assert "2,016 rows in GridDB; the other side was not asked." in text
    assert "PostgreSQL was not asked for its rows." in text


def test_figures_of_a_load_that_was_gone_on_with_are_not_of_the_whole() -> None:
    assert LOADED.copied is not None
    load = replace(LOADED, copied=replace(LOADED.copied, rows=100_000))
    text = Page(render_page(report(calm_table(load=load)))).text
    assert "those of the run that finished it, which copied 100,000 rows" in text


def test_a_line_for_each_table_says_its_verdict_and_its_stage() -> None:
    paused = calm_table(table="public.b", load=replace(LOADED, life=TableLife(Stage.PAUSED, AT, "it is paused")))
    apart = calm_table(table="public.c", load=replace(LOADED, life=TableLife(Stage.APART, AT, EVIL)))
    page = Page(render_page(report(calm_table(), paused, apart, failed_table())))
    head = page.text.partition("What was moved")[0]
    assert "Table Verdict Stage PostgreSQL GridDB Containers Compared as of" in head
    assert "public.b ✓ equal paused 3,003 3,003 3 2026-03-14 09:20:00" in head
    assert "public.c ✓ equal apart 3,003" in head
    assert "✕ not readable ?" in head
    assert "1 table is paused: public.b. 1 table is set apart: public.c." in head
    assert [a["href"] for a in page.all("a")][:4] == ["#t0", "#t1", "#t2", "#t3"]
