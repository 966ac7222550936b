"""The site of the docs: links lead to the same files as in the repository's browser, and no page is left out.

That every link leads somewhere is what `make site` looks at.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tools import docs_site
from tools.docs_site import linked, repository_path, site_place, with_lists_apart, with_site_links
from tools.docstring_parts import set_off

from gridferry.engine.migration import Migration
from gridferry.griddb import parse_address
from gridferry.plan.addresses import SourceAddress
from gridferry.plan.config import Config

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("README.md", "index.md"),
        ("docs/sync.md", "sync.md"),
        ("docs/adr/0001-a.md", "adr/0001-a.md"),
        ("CHANGELOG.md", "repository/CHANGELOG.md"),
        ("deploy/README.md", "repository/deploy/README.md"),
    ],
)
def test_every_file_has_one_place(path: str, place: str) -> None:
    assert site_place(path) == place
    assert repository_path(place) == path


@pytest.mark.parametrize(
    ("page", "link", "turned"),
    [
        # Inside of docs/ nothing changes.
        ("docs/sync.md", "metrics.md", "metrics.md"),
        ("docs/adr/0005-resume-under-a-new-snapshot.md", "../sync.md#what", "../sync.md#what"),
        # Out of docs/, and into it.
        ("docs/walkthrough.md", "../deploy/README.md", "repository/deploy/README.md"),
        ("docs/walkthrough.md", "../examples/airflow/gridferry.yaml", "repository/examples/airflow/gridferry.yaml"),
        ("README.md", "docs/sync.md", "sync.md"),
        ("README.md", "docs/images/report.png", "images/report.png"),
        ("README.md", "CHANGELOG.md", "repository/CHANGELOG.md"),
        ("SECURITY.md", "docs/security.md", "../security.md"),
        ("docs/limits.md", "../README.md", "index.md"),
        # A folder is its page, or that of one around it.
        ("README.md", "docs/adr", "adr/index.md"),
        ("README.md", "examples", "repository/examples/README.md"),
        ("deploy/README.md", "../examples/airflow", "../examples/README.md"),
        # What is elsewhere, or nowhere, stays as it is.
        ("README.md", "https://griddb.net", "https://griddb.net"),
        ("README.md", "mailto:a@b.example", "mailto:a@b.example"),
        ("README.md", "docs/nothing.md", "docs/nothing.md"),
    ],
)
def test_links_are_turned(page: str, link: str, turned: str) -> None:
    assert with_site_links(f"see [it]({link}).", page) == f"see [it]({turned})."


def test_what_a_page_links_to() -> None:
    text = "[a](b.md#c) ![d](e.png) [f](https://g) [h](#i)"
    assert list(linked(text, "docs/x.md")) == ["docs/b.md", "docs/e.png"]


def test_a_list_gets_a_blank_line_before_it_and_code_stays() -> None:
    text = "Two:\n- a\n  more\n- b\n\n```yaml\nkeys:\n- c\n```\n1. d\n2. e\n"
    assert with_lists_apart(text) == "Two:\n\n- a\n  more\n- b\n\n```yaml\nkeys:\n- c\n```\n\n1. d\n2. e\n"


def test_every_decision_is_listed_by_its_title() -> None:
    files = sorted(path.name for path in (ROOT / "docs/adr").glob("*.md"))
    assert [place for _, place in docs_site.decisions()] == [f"adr/{name}" for name in files]
    assert ("0002. Arrow joins and cuts the variable part of rows", f"adr/{files[1]}") in docs_site.decisions()
    assert all(f"]({name})" in docs_site.decisions_page() for name in files)
    assert [title[:6] for title, _ in docs_site.decisions()] == [f"{name[:4]}. " for name in files]


def test_the_reference_has_every_name_that_the_driver_exports() -> None:
    from gridferry import griddb

    page = docs_site.driver_page()
    assert [line.rpartition(".")[2] for line in page.splitlines() if line.startswith(":::")] == griddb.__all__
    assert "::: gridferry.griddb.store.connect" in page.splitlines()


def test_the_reference_has_migration_and_the_class_of_each_of_its_attributes() -> None:
    config = Config(SourceAddress("postgresql://a@b/c"), parse_address("griddb://a@b/c"), ())
    with Migration(config) as migration:
        kinds = {type(attribute) for attribute in vars(migration).values()}
    assert kinds == set(docs_site.PARTS_OF_MIGRATION)
    page = docs_site.migration_page().splitlines()
    assert "::: gridferry.engine.migration.Migration" in page
    assert "::: gridferry.engine.load.loads.Loads" in page


def test_the_parts_of_a_docstring_are_set_off() -> None:
    assert (
        set_off("Load.\n\nArgs: a: b;\n    c: d.\nRaises: E.")
        == "Load.\n\n\n**Args:** a: b;\n    c: d.\n\n**Raises:** E."
    )


def test_pages_outside_of_docs_are_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    (nav,) = [part for part in text.split("\n\n") if "\nnav:\n" in part]
    placed = str(yaml.safe_load(nav[nav.index("nav:") :]))
    assert [page for page in docs_site.PAGES if f"'{site_place(page)}'" not in placed] == []
