"""Links on a task in Airflow's UI. The page with both sides' numbers is another link of the same kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from gridferry.airflow.compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class AssetsLink(BaseOperatorLink):
    """To the assets that the task fills: their events hold rows and watermarks."""

    name: ClassVar[str] = "GridDB assets"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """A path in Airflow's UI; the same whatever its host is."""
        names = [outlet.name for outlet in getattr(operator, "outlets", ()) or () if hasattr(outlet, "uri")]
        wanted = names[0] if len(names) == 1 else names[0].partition("/")[0] if names else ""
        return f"/assets?name_pattern={quote(wanted, safe='')}" if wanted else "/assets"
