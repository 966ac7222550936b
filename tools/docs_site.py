"""What MkDocs calls while it builds the site (`mkdocs.yml`, hooks).

Links in the pages are right in the repository's browser. A file that is not in docs/ has a place on the site as well:
README.md is the first page, other pages and linked files are below `repository/`, and links to them are turned to it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from gridferry import griddb
from gridferry.engine.life.lives import Lives
from gridferry.engine.load.loads import Loads
from gridferry.engine.migration import Migration
from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.repair.repairs import Repairs
from gridferry.engine.repair.sources import Sources
from gridferry.engine.status.status import Status
from gridferry.engine.sync.syncs import Syncs
from gridferry.engine.verify.verifications import Verifications

ROOT = Path(__file__).parents[1]
DOCS = "docs/"
AWAY = "repository/"  # on the site, the place of what is not in docs/
DECISIONS = "Decisions"
DECISIONS_PAGE = "docs/adr/index.md"  # is made here; in the repository's browser the folder itself is the list
# Pages outside of docs/ that the site has, by their paths in the repository.
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md", "examples/README.md")
# The attributes of `Migration`, in the order of its page.
PARTS_OF_MIGRATION = (Loads, Syncs, Lives, Verifications, Repairs, Sources, Status, Endpoints)

_LINK = re.compile(r"\]\((?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_ITEM = re.compile(r"^(?:[-*] |\d+\. )")


def site_place(path: str) -> str:
    """Where a file of the repository is on the site: `docs/sync.md` is `sync.md`, `README.md` is `index.md`."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix(DOCS) if path.startswith(DOCS) else AWAY + path


def repository_path(place: str) -> str:
    """The other way round."""
    if place == "index.md":
        return "README.md"
    return place.removeprefix(AWAY) if place.startswith(AWAY) else DOCS + place


def linked(markdown: str, page: str) -> Iterator[str]:
    """The paths in the repository that a page of it links to, with or without a file there."""
    for match in _LINK.finditer(markdown):
        if "://" not in match["path"] and not match["path"].startswith("mailto:"):
            yield _target(match["path"], page)


def with_site_links(markdown: str, page: str) -> str:
    """A page's text with its links as the site needs them; `page` is its path in the repository."""
    here = posixpath.dirname(site_place(page))

    def turned(match: re.Match[str]) -> str:
        if "://" in match["path"] or match["path"].startswith("mailto:"):
            return match[0]
        path = _target(match["path"], page)
        if path != DECISIONS_PAGE and not (ROOT / path).exists():
            return match[0]  # MkDocs warns of it
        return f"]({posixpath.relpath(site_place(path), here or '.')}{match['anchor'] or ''})"

    return _LINK.sub(turned, markdown)


def _target(link: str, page: str) -> str:
    """What a link leads to, as a path in the repository: of a folder, its page or that of one around it."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    if path == posixpath.dirname(DECISIONS_PAGE):
        return DECISIONS_PAGE
    while (ROOT / path).is_dir() and path not in ("", "."):
        if (ROOT / path / "README.md").exists():
            return f"{path}/README.md"
        path = posixpath.dirname(path)
    return path


def with_lists_apart(markdown: str) -> str:
    """A blank line before each list: the repository's browser does without one, Python's Markdown does not."""
    lines: list[str] = []
    fenced = in_list = False
    for line in markdown.splitlines():
        before = lines[-1] if lines else ""
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            if not line.strip():
                in_list = False
            elif _ITEM.match(line):
                if before.strip() and not in_list:
                    lines.append("")
                in_list = True
            elif line.startswith("#"):
                in_list = False
        lines.append(line)
    return "\n".join(lines) + "\n"


def decisions() -> list[tuple[str, str]]:
    """Title and place of each decision, in their order."""
    found = []
    for path in sorted((ROOT / "docs/adr").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        found.append((title, f"adr/{path.name}"))
    return found


def decisions_page() -> str:
    """The list of all decisions."""
    lines = [f"- [{title}]({posixpath.basename(place)})" for title, place in decisions()]
    return "\n".join(["# Decisions", "", "Decisions that were not obvious, a page each.", "", *lines, ""])


def driver_page() -> str:
    """The reference of the driver: every name that `gridferry.griddb` exports."""
    parts = [f"::: {getattr(griddb, name).__module__}.{name}" for name in griddb.__all__]
    head = "# GridDB driver\n\nEverything here is imported from `gridferry.griddb`, which stands alone."
    return "\n\n".join([head, *parts, ""])


def migration_page() -> str:
    """The reference of `Migration`, and of what can be done by its attributes."""
    about = "What the command line and Airflow call; [the examples](../repository/examples/README.md) use it."
    parts = [f"::: {kind.__module__}.{kind.__name__}" for kind in (Migration, *PARTS_OF_MIGRATION)]
    return "\n\n".join(["# Migration", about, *parts, ""])


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the decisions."""
    for entry in config.nav or []:
        if DECISIONS in entry:
            entry[DECISIONS] = ["adr/index.md", *({title: place} for title, place in decisions())]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs/: pages, files that pages link to, and pages that are made here."""
    made = {
        site_place(DECISIONS_PAGE): decisions_page(),
        "reference/driver.md": driver_page(),
        "reference/migration.md": migration_page(),
    }
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    pages = [*PAGES, *(repository_path(f.src_uri) for f in files.documentation_pages() if f.src_uri not in made)]
    wanted = dict.fromkeys(PAGES)
    for page in dict.fromkeys(pages):
        wanted |= dict.fromkeys(linked((ROOT / page).read_text(encoding="utf-8"), page))
    for path in wanted:
        if not path.startswith(DOCS) and (ROOT / path).is_file():
            files.append(File.generated(config, site_place(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """A page of the repository, as the site needs it."""
    if page.file.generated_by and page.file.abs_src_path is None:
        return markdown
    return with_lists_apart(with_site_links(markdown, repository_path(page.file.src_uri)))
