"""gridferry's plugin: what Airflow's own pages get from it. Every Airflow process loads it, so it imports little.

The page with both sides' numbers is made at its first request: see `page.lazy`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gridferry.airflow.compat import AirflowPlugin
from gridferry.airflow.links import AssetsLink
from gridferry.airflow.page.lazy import external_views, fastapi_apps


class GridFerryPlugin(AirflowPlugin):
    """Registers the operators' links, so that they can be shown without the provider's operators; and the page."""

    name = "gridferry"
    operator_extra_links: ClassVar[list[Any]] = [AssetsLink()]
    fastapi_apps: ClassVar[list[Any]] = fastapi_apps()
    external_views: ClassVar[list[Any]] = external_views()
