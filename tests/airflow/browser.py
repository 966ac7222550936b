"""A headless Chromium at Airflow's own pages, by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from tests.e2e.browser import NAMES

PATIENCE_S = 180.0
SIZE = {"width": 1280, "height": 800}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium of this machine; skips where there is none."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no Chromium to look at Airflow with: install Debian's `chromium`")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield browser
        browser.close()


class Pages:
    """Airflow as somebody sees it who has logged in, or will. Screenshots go to `shots`."""

    def __init__(self, page: Page, url: str, shots: Path) -> None:
        self.page = page
        self.url = url
        self.shots = shots
        page.set_default_timeout(PATIENCE_S * 1e3)
        page.set_default_navigation_timeout(PATIENCE_S * 1e3)
        expect.set_options(timeout=60e3)

    def log_in(self, user: str, password: str) -> None:
        """From the first page on."""
        self.page.goto(self.url)
        self.page.locator("input[name=username]").fill(user)
        self.page.locator("input[name=password]").fill(password)
        self.shoot("login")
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("link", name="Dags")).to_be_visible()

    def open(self, path: str) -> None:
        """A page of Airflow's by its path."""
        self.page.goto(f"{self.url}{path}")

    def connection(self, name: str) -> Locator:
        """A row of the list of connections."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=name, exact=True))

    def dag(self, name: str) -> Locator:
        """A card of the list of DAGs."""
        return self.page.get_by_test_id("dag-card").filter(has=self.page.get_by_role("link", name=name, exact=True))

    def ask(self, path: str) -> dict[str, object]:
        """What Airflow's REST interface says to this login."""
        found = self.page.evaluate("async (path) => await (await fetch(path)).json()", f"{self.url}/api/v2{path}")
        assert isinstance(found, dict)
        return found

    def shoot(self, name: str) -> None:
        """A picture of what is seen now, without what is still moving."""
        self.page.wait_for_load_state("networkidle")
        self.page.screenshot(path=self.shots / f"{name}.png", animations="disabled")
