"""What mode cdc will and will not see of a table, and what would stop it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gridferry.model.publishing import ChangeAccess, Published, Publishing
from gridferry.model.table import Table
from gridferry.plan.config import TableOptions
from gridferry.plan.keys import KeyChoice
from gridferry.plan.plan import ColumnPlan, Finding, Kernel, OnDuplicate, Severity


def cdc_findings(
    table: Table,
    options: TableOptions,
    choice: KeyChoice,
    *,
    columns: Sequence[ColumnPlan],
    key_length: int,
    access: ChangeAccess,
) -> Iterator[Finding]:
    """What stops the following of this table's changes, and what of them will not be seen.

    Args: columns: as planned, the row key's first.
    """
    for obstacle in access.obstacles:
        yield Finding(Severity.PROBLEM, "sync", obstacle.message, obstacle.advice)
    if options.where:
        message = "`where` cannot be applied to a stream of changes"
        yield Finding(Severity.PROBLEM, "sync", message, "leave `where` out, or use `sync: {mode: watermark}`")
    publishing = access.publishing
    if publishing is None:
        return
    for hidden in sorted({c.source for c in columns} & set(publishing.unpublished)):
        message = "changes do not hold this generated column on this version of PostgreSQL"
        yield Finding(Severity.PROBLEM, hidden, message, f"leave it out with `exclude: [{hidden}]`")
    cut = any(c.kernel is Kernel.TIME_MS_TRUNCATE for c in columns[:key_length])
    yield from _key_findings(options, publishing, unique=choice.unique, cut=cut)
    yield from _identity_findings(table, options, choice, publishing)


def _key_findings(options: TableOptions, publishing: Publishing, *, unique: bool, cut: bool) -> Iterator[Finding]:
    """A change of one row must not be taken for a change of another: row keys have to be proven unique."""
    inserts = publishing.published is Published.INSERTS
    kept = options.on_duplicate in (OnDuplicate.ERROR, OnDuplicate.LAST)
    if (unique and not cut) or (inserts and kept):
        return
    message = "nothing proves that no two rows share a row key, and a change of one would then be a change of the other"
    advice = "use a unique key of the source as `key`"
    if inserts:
        advice = "set `on_duplicate: error` or `last`: the others cannot be kept in a stream of changes"
    elif unique:
        message = "the row key is cut to milliseconds, and a change of one row could be a change of its neighbour"
        advice = "set `kind: collection`, whose key keeps microseconds"
    yield Finding(Severity.PROBLEM, "key", message, advice)


def _identity_findings(
    table: Table, options: TableOptions, choice: KeyChoice, publishing: Publishing
) -> Iterator[Finding]:
    if publishing.published is Published.INSERTS:
        message = f"only inserts can be followed, not updates and deletes: {publishing.reason}"
        yield Finding(Severity.RISK, table.qualified, message, f"in the source: {publishing.advice}")
        return
    needed = {*choice.columns, *([options.split_by] if options.split_by else [])}
    missing = sorted(needed - set(publishing.identity))
    if missing:
        message = (
            f"an update or delete in the source does not tell the old {', '.join(missing)}, so its row would not be "
            "found"
        )
        advice = f"ALTER TABLE {publishing.quoted} REPLICA IDENTITY FULL; or use the primary key as `key`"
        yield Finding(Severity.PROBLEM, table.qualified, message, advice)
