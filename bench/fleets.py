"""Many containers: made and filled by a load, and asked all at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from bench.figures import Figure, RunFailed, median_of
from bench.loads import run_load
from bench.servers import Target, drop_all
from bench.tables import SourceTable

from gridferry.griddb import Container, Store
from gridferry.local.postgres import LocalPostgres


def measure(postgres: LocalPostgres, target: Target, table: SourceTable) -> list[Figure]:
    """Load a table split into very many containers, then ask for the newest stamp and the count of each."""
    told = run_load(postgres, target, table).told
    whole_s = told["plan"]["seconds"] + told["load"]["seconds"]
    with target.connect() as store:
        try:
            names = [n for n in store.container_names() if n.startswith(f"{table.name}_")]
            aim = 10.0 if len(names) == 10_000 and target.name == "embedded" else None
            made = f"load {told['rows']:,} rows, {len(names):,} containers new"
            part = f"fleet, {target.name}"
            found = [Figure(part, made, whole_s, "s", aim, note=f"{told['plan']['seconds']:.1f} s for the plan")]
            return found + _questions(store, names, part)
        finally:
            drop_all(store, f"{table.name}_")


def _questions(store: Store, names: list[str], part: str) -> list[Figure]:
    opened = [c for c in store.open_containers(names).values() if c is not None]
    if len(opened) != len(names):
        raise RunFailed(f"{len(names) - len(opened)} containers are missing after the load")

    def newest(containers: list[Container]) -> None:
        results = store.multi_query([(c, "select MAX(ts)") for c in containers])
        if any(result.value is None for result in results):
            raise RunFailed("a container is empty after the load")

    asked: tuple[tuple[str, Callable[[], object]], ...] = (
        ("open", lambda: store.open_containers(names)),
        ("MAX(ts) of", lambda: newest(opened)),
        ("count the rows of", lambda: store.counts(opened)),
    )
    aims = {"MAX(ts) of": 1.0 if len(names) == 10_000 else None}
    return [
        Figure(part, f"{what} {len(names):,} containers", median_of(3, partial(_seconds, call)), "s", aims.get(what))
        for what, call in asked
    ]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
