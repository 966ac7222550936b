"""Bounded syncs: with nothing to do, with new rows in every container, and with very many changes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.ferries import Ferry, followed
from bench.figures import Figure, RunFailed, median_of
from bench.servers import PREFIX, Target
from bench.tables import make_followed

from gridferry.local.postgres import LocalPostgres

MODES = ("watermark", "cdc")
NOTHING_AIM_S = 1.0
_ROWS_EACH = 10  # that a container of a fleet holds at first


def measure_fleets(postgres: LocalPostgres, target: Target, *, containers: Sequence[int], times: int) -> list[Figure]:
    """A sync with nothing to do, the middle one of `times`, and one with a new row for each container; by mode and
    number of containers.
    """
    return [
        figure
        for mode in MODES
        for count in containers
        for figure in _fleet(postgres, target, mode=mode, containers=count, times=times)
    ]


def _fleet(postgres: LocalPostgres, target: Target, *, mode: str, containers: int, times: int) -> list[Figure]:
    rows = containers * _ROWS_EACH
    table = make_followed(postgres.dsn(), devices=containers, rows=rows, mode=mode, name=f"{PREFIX}sync")
    with followed(postgres, target, table) as ferry:
        # The first one after a load sweeps the table; here it finds what the load read.
        ferry.sync()
        nothing_s = median_of(times, lambda: _nothing(ferry))
        ferry.call("insert", rows, containers)
        told = ferry.sync()
        if (told["rows"], told["touched"]) != (containers, containers):
            raise RunFailed(f"{told['rows']} rows were stored in {told['touched']} containers instead of {containers}")
        again_s = _nothing(ferry)
        ferry.require_parity()
    part, each = f"sync, {target.name}", f"{containers:,} containers"
    note = f"after rows came {again_s:.2f} s"
    aim = NOTHING_AIM_S if containers >= 10_000 else None
    return [
        Figure(part, f"{mode}: {each}, nothing new", nothing_s, "s", aim, note=note),
        Figure(part, f"{mode}: {each}, a row each", told["seconds"], "s", note=f"own CPU {told['cpu_s']:.2f} s"),
    ]


def _nothing(ferry: Ferry) -> float:
    """Seconds of a sync that finds nothing; from connecting to the end, without starting the program."""
    told = ferry.sync()
    if told["rows"] or told["deleted"]:
        raise RunFailed(f"{ferry.table.name}: a sync with nothing to do stored {told['rows']} rows")
    return float(told["seconds"])


def measure_bulk(postgres: LocalPostgres, target: Target, *, rows: int, devices: int) -> list[Figure]:
    """Very many new rows by each mode, against a load of as many; then as many updates and deletes."""
    found = []
    for mode in MODES:
        table = make_followed(postgres.dsn(), devices=devices, rows=rows, mode=mode, name=f"{PREFIX}bulk")
        ferry = Ferry(postgres, target, table)
        try:
            load = ferry.load()["load"]["seconds"]
            ferry.sync()
            found += _bulk(ferry, mode=mode, rows=rows, load_s=load)
        finally:
            ferry.drop()
    return found


def _bulk(ferry: Ferry, *, mode: str, rows: int, load_s: float) -> list[Figure]:
    part = f"bulk, {ferry.target.name}"
    steps = ["insert", "update", "delete"] if mode == "cdc" else ["insert"]
    found = []
    for step in steps:
        ferry.call(step, rows, rows)
        told = ferry.sync()
        stored = told["deleted"] if step == "delete" else told["rows"]
        if stored != rows:
            raise RunFailed(f"{ferry.table.name}: {stored} rows were stored or deleted of {rows}")
        ferry.require_parity(by_value=step != "delete")
        note = f"own CPU {told['cpu_s'] / rows * 1e6:.1f} us each"
        found.append(Figure(part, f"{mode}: {rows:,} {step}s", rows / told["seconds"], "rows/s", note=note))
        if step == "insert":
            ratio = load_s / told["seconds"]
            found.append(Figure(part, f"{mode}: inserts / load", ratio, "", more_is_better=True))
    return found
