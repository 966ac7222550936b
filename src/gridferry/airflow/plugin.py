"""gridferry's plugin: what Airflow's own pages get from it. Every Airflow process loads it, so it imports little.

Pages of gridferry's own belong here too: `fastapi_apps` and `external_views` of this one class.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gridferry.airflow.compat import AirflowPlugin
from gridferry.airflow.links import AssetsLink


class GridFerryPlugin(AirflowPlugin):
    """Registers the operators' links, so that they can be shown without the provider's operators."""

    name = "gridferry"
    operator_extra_links: ClassVar[list[Any]] = [AssetsLink()]
