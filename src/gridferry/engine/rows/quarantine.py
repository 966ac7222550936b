"""Quarantined rows, and what the source has now for their keys."""

from __future__ import annotations

from collections import Counter

import numpy as np

from gridferry.checkpoint.quarantine import Quarantine
from gridferry.compare.digest import RowsDigest, RunDigests, digest_of
from gridferry.engine.rows.duplicates import REASON
from gridferry.plan.plan import TablePlan
from gridferry.source.contract import ReadsRows
from gridferry.source.postgres.rows.key_rows import read_rows_like


def keep_current(reader: ReadsRows, plan: TablePlan, quarantine: Quarantine) -> None:
    """Let the quarantine forget rows that the source no longer has in that form, and repetitions of those it has.

    Between an interruption and a resume a row may have been corrected, or moved to where it was read a second time.
    """
    held = [row for row in quarantine.rows(plan.qualified) if row.reason != REASON]
    if not held:
        return
    there: Counter[RowsDigest] = Counter()
    for batch in read_rows_like(reader, plan, [row.row for row in held]):
        there.update(RunDigests.of(batch, np.arange(len(batch) + 1)).runs)
    stale = []
    for row in held:
        content = digest_of(row.row)
        if there[content] > 0:
            there[content] -= 1
        else:
            stale.append(row.id)
    quarantine.release(plan.qualified, stale)
