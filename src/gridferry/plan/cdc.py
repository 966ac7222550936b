"""What mode cdc will and will not see of a table, and what would stop it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gridferry.model.publishing import ChangeAccess, Published, Publishing
from gridferry.model.table import Table
from gridferry.plan.generated_key import HASHES_A_READ, is_generated
from gridferry.plan.keys import KeyChoice, proves_keys
from gridferry.plan.plan import ColumnPlan, Finding, OnDuplicate, Severity
from gridferry.plan.table_options import TableOptions


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
        if publishing.publication:
            message = f"the publication {publishing.publication} leaves this column out"
        yield Finding(Severity.PROBLEM, hidden, message, f"leave it out with `exclude: [{hidden}]`")
    if choice.generated:
        yield _looked_up(table, columns)
        needed = {c.source for c in columns if not is_generated(c)}
    else:
        needed = set(choice.columns)
        if not proves_keys(table, options, columns[:key_length]):
            yield _shared_keys(options)
    yield from _identity_findings(table, options, publishing, needed=needed)


def _shared_keys(options: TableOptions) -> Finding:
    """A change of one row must not be taken for a change of another: each is held against what is stored."""
    message = "nothing proves that no two rows share a row key, now or later"
    if options.on_duplicate is OnDuplicate.QUARANTINE:
        message += "; mode cdc cannot quarantine those that do"
        return Finding(Severity.PROBLEM, "key", message, "set `on_duplicate: error`, `last` or `first`")
    if options.on_duplicate is OnDuplicate.ERROR:
        message += ": each change is held against what is stored, and the sync stops at two that do"
    else:
        message += f": what is changed is looked up in the source, and the {options.on_duplicate.value} one is kept"
    return Finding(
        Severity.INFO, "key", message, "a unique key, with all its digits in the row key, is followed faster"
    )


def _looked_up(table: Table, columns: Sequence[ColumnPlan]) -> Finding:
    """What it costs to follow a generated key: a change names a value, which is counted in the source."""
    size = f"{table.size_bytes / (1 << 20):,.1f} MB, about {table.row_estimate:,} rows"
    message = (
        "the row key is generated: the values that changes name are counted in the source, and each count of up to "
        f"{HASHES_A_READ} of them reads the whole table ({size})"
    )
    return Finding(Severity.RISK, "key", message, "a key that no two rows share is followed without that")


def _identity_findings(
    table: Table, options: TableOptions, publishing: Publishing, *, needed: set[str]
) -> Iterator[Finding]:
    if publishing.published is Published.INSERTS:
        message = f"only inserts can be followed, not updates and deletes: {publishing.reason}"
        yield Finding(Severity.RISK, table.qualified, message, f"in the source: {publishing.advice}")
        return
    missing = sorted((needed | ({options.split_by} if options.split_by else set())) - set(publishing.identity))
    if missing:
        message = (
            f"an update or delete in the source does not carry the old {', '.join(missing)}, so its row would not be "
            "found"
        )
        advice = f"ALTER TABLE {publishing.quoted} REPLICA IDENTITY FULL; or use the primary key as `key`"
        yield Finding(Severity.PROBLEM, table.qualified, message, advice)
