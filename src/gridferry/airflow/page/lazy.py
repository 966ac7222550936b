"""The page's app, made at its first request: every process of Airflow loads plugins, and only one of them serves."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from gridferry.airflow.page.routes import PAGE, PREFIX

App = Callable[[Any, Any, Any], Awaitable[None]]


class LazyApp:
    """An ASGI app that makes the real one when it is first asked. FastAPI alone takes half a second to import."""

    def __init__(self) -> None:
        self._made: App | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        await self.app(scope, receive, send)

    @property
    def app(self) -> App:
        """The real app."""
        with self._lock:
            if self._made is None:
                from gridferry.airflow.page.app import make_app

                self._made = make_app()
            return self._made


def fastapi_apps() -> list[dict[str, Any]]:
    """What the plugin serves."""
    return [{"app": LazyApp(), "url_prefix": PREFIX, "name": "gridferry"}]


def external_views() -> list[dict[str, Any]]:
    """Where the page hangs in the navigation. Its address is relative: Airflow may live below a path."""
    return [{"name": "Parity", "href": f"{PREFIX[1:]}{PAGE}", "destination": "nav", "url_route": "parity"}]
