"""What gridferry fills, as Airflow's assets: each table always, its containers as long as they are few.

An asset of a table is known when a DAG is read, and ties DAGs together. Those of containers are reported at run time,
through an alias, as nobody knows before which devices there are; of a fleet of thousands only the table is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote

from gridferry.airflow.compat import Asset, AssetAlias
from gridferry.airflow.settings import GRIDDB_DEFAULT

if TYPE_CHECKING:
    from gridferry.engine.standing import ContainerStatus
    from gridferry.griddb.address import GridDBAddress

MOST_CONTAINERS = 100
GROUP = "gridferry"


def table_asset(table: str, griddb_conn_id: str = GRIDDB_DEFAULT) -> Asset:
    """The rows of one table, wherever they are in that GridDB. `table` is schema.name."""
    qualified = table if "." in table else f"public.{table}"
    return Asset(
        name=f"{griddb_conn_id}/{qualified}",
        uri=f"gridferry://{quote(griddb_conn_id, safe='')}/{quote(qualified, safe='.')}",
        group=GROUP,
    )


def containers_alias(griddb_conn_id: str = GRIDDB_DEFAULT) -> AssetAlias:
    """The alias under which the containers in one GridDB are reported."""
    return AssetAlias(name=f"{griddb_conn_id}/containers", group=GROUP)


def container_asset(address: GridDBAddress, container: str) -> Asset:
    """One container: `griddb://host:port/cluster/database/container`."""
    host, port = address.members[0] if address.members else (address.multicast or ("provider", 10001))
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    path = "/".join(quote(part, safe="") for part in (address.cluster, address.database, container))
    return Asset(name=f"{address.cluster}/{address.database}/{container}", uri=f"griddb://{place}/{path}", group=GROUP)


def tell_assets(
    events: Mapping[Any, Any],
    outlets: Iterable[Any],
    *,
    table: str,
    facts: Mapping[str, Any],
    containers: Sequence[ContainerStatus],
    address: GridDBAddress,
    watermark: str,
) -> None:
    """Put rows and watermark into the events that the task's outlets are about to send.

    Args: events: the context's `outlet_events`; outlets: the task's; facts: what the run did to the table.
    """
    rows = sum(container.rows or 0 for container in containers)
    for outlet in outlets:
        if isinstance(outlet, Asset) and outlet.name.endswith(f"/{table}"):
            events[outlet].extra = {**facts, "rows": rows, "containers": len(containers), "watermark": watermark}
        elif isinstance(outlet, AssetAlias) and len(containers) <= MOST_CONTAINERS:
            for container in containers:
                extra = {"table": table, "rows": container.rows, "watermark": watermark}
                events[outlet].add(container_asset(address, container.name), extra=extra)


def normal_uri(uri: SplitResult) -> SplitResult:
    """The URI as it is: Airflow asks a provider to normalise its own schemes, and ours are written in one way only."""
    return uri
