"""Memory of a sync that has much to catch up with: very many transactions, and one very large one."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from bench.ferries import followed
from bench.figures import Figure, RunFailed
from bench.loads import MEMORY_AIM_MB
from bench.servers import PREFIX, Target
from bench.tables import make_followed
from psycopg import sql

from gridferry.local.postgres import SUPERUSER, LocalPostgres

_DEVICES = 20
_MOST_IN_A_TRANSACTION = 1000
_SHARES = (0.8, 0.14, 0.06)  # of inserts, updates, deletes
_UNSTREAMED = "1GB"


def measure_backlog(postgres: LocalPostgres, target: Target, *, changes: Sequence[int]) -> list[Figure]:
    """Peak memory and speed over backlogs of many transactions."""
    found = []
    for count in changes:
        each = min(_MOST_IN_A_TRANSACTION, count)
        inserts, updates, deletes = (round(each * share) for share in _SHARES)
        # The first transactions change rows of the load.
        rows = 4 * inserts
        table = make_followed(postgres.dsn(), devices=_DEVICES, rows=rows, mode="cdc", name=f"{PREFIX}backlog")
        with followed(postgres, target, table) as ferry:
            ferry.call("backlog", rows, count // each, inserts, updates, deletes)
            told = ferry.sync()
            if told["read"] != count // each * (inserts + updates + deletes):
                raise RunFailed(f"{told['read']} changes were read of {count}")
            ferry.require_parity(by_value=count < 1_000_000)
        found += _figures(target, f"{told['read']:,} changes", told)
    return found


def measure_transaction(postgres: LocalPostgres, target: Target, *, rows: Sequence[int]) -> list[Figure]:
    """Peak memory and speed over one transaction: streamed while it is open, and sent after its commit."""
    found = []
    for count in rows:
        for streamed in (True, False):
            table = make_followed(postgres.dsn(), devices=_DEVICES, rows=0, mode="cdc", name=f"{PREFIX}large")
            with followed(postgres, target, table) as ferry:
                ferry.call("insert", 0, count)
                # What fits into the server's memory is not streamed.
                _decoding_memory(postgres, None if streamed else _UNSTREAMED)
                try:
                    told = ferry.sync()
                finally:
                    _decoding_memory(postgres, None)
                if told["rows"] != count:
                    raise RunFailed(f"{told['rows']} rows were stored of {count}")
                ferry.require_parity(by_value=count < 1_000_000)
            way = "streamed" if streamed else "not streamed"
            found += _figures(target, f"{count:,} at once, {way}", told)
    return found


def _figures(target: Target, what: str, told: dict[str, float]) -> list[Figure]:
    part = f"backlog, {target.name}"
    speed = told["read"] / told["seconds"]
    note = f"{told['base_mb']:.0f} MB at its start"
    return [
        Figure(part, f"{what}: peak memory", told["peak_mb"], "MB", MEMORY_AIM_MB, note=note),
        Figure(part, f"{what}: speed", speed, "changes/s"),
    ]


def _decoding_memory(postgres: LocalPostgres, size: str | None) -> None:
    """How much of a transaction the server keeps before it streams; as it was, if None."""
    role, setting = sql.Identifier(SUPERUSER), sql.SQL("logical_decoding_work_mem")
    statement = (
        sql.SQL("ALTER ROLE {} RESET {}").format(role, setting)
        if size is None
        else sql.SQL("ALTER ROLE {} SET {} = {}").format(role, setting, sql.Literal(size))
    )
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(statement)
