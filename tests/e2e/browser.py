"""A headless Chromium without a network: what a page holds, and how large it is, as a browser has it.

A page is looked at inside a frame of a page of ours, which may ask it things; the frame's size is the screen's.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
_LIMIT_S = 120
_ANSWER = re.compile(r'<pre id="answer">(.*?)</pre>', re.DOTALL)


@dataclass(frozen=True)
class Browser:
    """One Chromium; `folder` is for its profile and for pages of ours."""

    program: str
    folder: Path

    def run(self, *options: str) -> str:
        """What it writes to stdout."""
        command = [
            self.program,
            "--headless=new",
            "--disable-gpu",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--allow-file-access-from-files",
            f"--user-data-dir={self.folder / 'profile'}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *options,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
        return done.stdout

    def ask(self, page: Path, question: str, *, width: int = 1280, dark: bool = False) -> Any:
        """The value of a JavaScript expression about a page; in it `page` is the document, `view` its window."""
        host = self.folder / "host.html"
        host.write_text(
            f"""<!doctype html><pre id="answer"></pre>
            <iframe src="{html.escape(page.as_uri())}" style="border:0;width:{width}px;height:800px"></iframe>
            <script>
            const frame = document.querySelector("iframe");
            frame.addEventListener("load", () => {{
              const view = frame.contentWindow, page = frame.contentDocument;
              document.querySelector("#answer").textContent = JSON.stringify({question});
            }});
            </script>"""
        )
        scheme = 0 if dark else 1
        dom = self.run(
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--window-size={max(1280, width)},900",
            "--virtual-time-budget=5000",
            "--dump-dom",
            host.as_uri(),
        )
        found = _ANSWER.search(dom)
        assert found is not None, dom[:2000]
        return json.loads(html.unescape(found.group(1)))


def chromium(folder: Path) -> Browser:
    """A Chromium of this machine; skips where there is none."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("there is no Chromium to look at the page with: install Debian's `chromium`")
    return Browser(program, folder)
