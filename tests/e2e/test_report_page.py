"""The report's page as a browser without a network has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.browser import Browser, chromium
from tests.unit.report.samples import calm_table, evil_table, failed_table, report

from gridferry.report.page import render_page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return chromium(tmp_path_factory.mktemp("chromium"))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 1,200 containers, all equal."""
    path = tmp_path_factory.mktemp("pages") / "calm.html"
    path.write_text(render_page(report(calm_table(1_200))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that could not be read between two that could."""
    path = tmp_path_factory.mktemp("pages") / "failed.html"
    tables = (calm_table(), failed_table(), calm_table(table="public.other"))
    path.write_text(render_page(report(*tables)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose every name and value is hostile."""
    path = tmp_path_factory.mktemp("pages") / "evil.html"
    path.write_text(render_page(report(evil_table(), calm_table())), encoding="utf-8")
    return path


def test_the_numbers_are_on_the_screen(browser: Browser, calm: Path) -> None:
    text = browser.ask(calm, "page.body.innerText")
    for words in ("All 405,184 rows in 1 container are equal", "253,000 rows/s", "device_00000", "At most 3 min 0 s"):
        assert words in text


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("name", ["calm", "evil", "failed"])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    page = request.getfixturevalue(name)
    question = "[page.documentElement.scrollWidth, page.documentElement.clientWidth, view.innerWidth]"
    scrolled, shown, inner = browser.ask(page, question, width=width)
    assert inner == width
    assert scrolled <= shown


def test_a_table_that_failed_stands_in_the_head_and_in_its_place(browser: Browser, failed: Path) -> None:
    head, section, mark, color = browser.ask(
        failed,
        """[page.querySelector("header").innerText, page.querySelector("#t1").innerText,
            page.querySelector("nav tbody tr:nth-child(2) .mark").textContent,
            view.getComputedStyle(page.querySelector("#t1 .verdict .mark")).color ===
              view.getComputedStyle(page.querySelector("header .verdict .mark")).color]""",
    )
    assert "Nothing can be reported of public.bad" in head
    assert "2 tables are proven equal" in head
    assert "The report is not whole. Of 1 table not all is reported:" in head
    assert "GridDB refused <script>" in head
    assert section.splitlines()[0].startswith("public.bad<script>")
    assert "Nothing can be reported: GridDB refused <script>" in section
    assert "Next: " in section
    assert "What was moved" not in section
    assert (mark, color) == ("✕ not readable", True)


def test_it_loads_nothing_and_nothing_of_it_is_refused(browser: Browser, calm: Path) -> None:
    assert browser.ask(calm, 'view.performance.getEntriesByType("resource").map((e) => e.name)') == []
    # The style sheet and the script are the ones that the policy names: both are at work.
    assert browser.ask(calm, 'view.getComputedStyle(page.querySelector(".figures")).display') == "grid"
    assert browser.ask(calm, 'page.querySelector(".search").hidden') is False


def test_hostile_names_are_text(browser: Browser, evil: Path) -> None:
    title, scripts, images, text = browser.ask(
        evil, "[page.title, page.scripts.length, page.images.length, page.body.innerText]"
    )
    assert title.startswith("Both sides differ in public.<script>")
    assert (scripts, images) == (1, 0)
    assert "<script>document.title='pwned'</script>" in text


def test_a_search_finds_containers_in_folded_parts(browser: Browser, calm: Path) -> None:
    found = browser.ask(
        calm,
        """(() => {
          const field = page.querySelector("input[type=search]");
          field.value = "EVICE_0117";
          field.dispatchEvent(new view.Event("input"));
          const rows = [...page.querySelectorAll("details.part tbody tr")].filter((row) => row.checkVisibility());
          return [rows.length, page.querySelector("[role=status]").textContent];
        })()""",
    )
    assert found == [10, "10 found"]


def test_light_and_dark_follow_the_reader(browser: Browser, calm: Path) -> None:
    paper = "view.getComputedStyle(page.body).backgroundColor"
    area = "view.getComputedStyle(page.querySelector('svg .serie-0 path')).fill"
    light, dark = (browser.ask(calm, f"[{paper}, {area}]", dark=dark) for dark in (False, True))
    assert light[0] == "rgb(255, 255, 255)"
    assert dark[0] == "rgb(20, 24, 31)"
    assert light[1] != dark[1]


CONTRAST = """(() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (c) => {
    const [r, g, b] = parse(c).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (e) => {
    for (; e; e = e.parentElement) {
      const c = view.getComputedStyle(e).backgroundColor;
      if (parse(c)[3] !== 0) return c;
    }
    return "rgb(255, 255, 255)";
  };
  const worst = {};
  for (const e of page.body.querySelectorAll("*")) {
    if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = view.getComputedStyle(e);
    const ink = e instanceof view.SVGElement ? style.fill : style.color;
    const [a, b] = [light(ink), light(paper(e))].sort((x, y) => y - x);
    worst[e.tagName + "." + (e.getAttribute("class") || "")] = (a + 0.05) / (b + 0.05);
  }
  return worst;
})()"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(browser: Browser, evil: Path, failed: Path, dark: bool) -> None:
    for page in (evil, failed):
        found = browser.ask(page, CONTRAST, dark=dark)
        assert len(found) > 20
        assert {what: ratio for what, ratio in found.items() if ratio < 4.5} == {}


def test_folded_parts_are_open_on_paper(browser: Browser, evil: Path, tmp_path: Path) -> None:
    """What is printed is more than what is seen: as many pages as with everything opened by hand."""
    opened = tmp_path / "opened.html"
    opened.write_text(evil.read_text(encoding="utf-8").replace("<details>", "<details open>"), encoding="utf-8")
    pages = []
    for page in (evil, opened):
        target = tmp_path / f"{page.stem}.pdf"
        browser.run("--no-pdf-header-footer", f"--print-to-pdf={target}", page.as_uri())
        pages.append(target.read_bytes().count(b"/Type /Page\n"))
    assert pages[0] == pages[1] >= 2
