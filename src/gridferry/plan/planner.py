"""Tables, facts and wishes -> a plan. Nothing is raised before every problem of every table has been found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from gridferry.errors import PlanError
from gridferry.griddb.schema import ContainerKind
from gridferry.model.key_advice import KeyAdvice
from gridferry.model.profile import ProfileRequest, TableProfile
from gridferry.model.publishing import ChangeAccess
from gridferry.model.source_role import SourceRole
from gridferry.model.table import Table
from gridferry.plan.cdc import cdc_findings
from gridferry.plan.checks import (
    coverage_findings,
    null_key_findings,
    privilege_findings,
    table_findings,
    unknown_names,
    value_findings,
)
from gridferry.plan.columns import facts_request, plan_columns, stored_columns
from gridferry.plan.containers import container_findings, plan_containers, with_clashes
from gridferry.plan.coverage import left_out
from gridferry.plan.key_advice import key_words
from gridferry.plan.keys import (
    KeyChoice,
    KeyForm,
    choose_form,
    choose_key,
    duplicate_finding,
    key_request,
)
from gridferry.plan.names import naming_template
from gridferry.plan.plan import ColumnPlan, Finding, OnDuplicate, Plan, Severity, TablePlan, UnreadTable
from gridferry.plan.source_needs import Wanted, needs_findings
from gridferry.plan.source_role import quoted, role_findings
from gridferry.plan.sync_options import SyncMode
from gridferry.plan.table_options import Precision, TableOptions
from gridferry.plan.watermark import watermark_findings

_ORDER = {Severity.PROBLEM: 0, Severity.RISK: 1, Severity.INFO: 2}


def profile_request(table: Table, options: TableOptions) -> ProfileRequest:
    """What must be known about the data of `table` before it can be planned; nothing that the catalog says already."""
    choice = choose_key(table, options)
    wanted = []
    for column in stored_columns(table, options, choice):
        request = facts_request(column, options, in_key=column.name in choice.columns)
        if request is not None and column.readable:
            wanted.append(request)
    split_column = table.column(options.split_by) if options.split_by else None
    split = options.split_by if split_column is not None and split_column.readable else None
    hidden = {column.name for column in table.columns if not column.readable}
    key = key_request(table, options, choice)
    asks_key = key is not None and not hidden & {*key.columns, *([options.split_by] if options.split_by else [])}
    return ProfileRequest(
        schema=table.schema,
        table=table.name,
        columns=tuple(wanted),
        key=key if asks_key else None,
        split_by=split,
        where=options.where,
        sampled=table.own_heap,
    )


def wants_key_advice(table: Table, options: TableOptions, profile: TableProfile) -> bool:
    """Whether a look for a key is worth its cost: there is none, or the one that the config names does not serve."""
    choice = choose_key(table, options)
    if choice.missing:
        return True
    key = profile.key
    if key is None or choice.generated or options.precision is Precision.TRUNCATE:
        return False
    return bool(key.nulls or (key.colliding and options.on_duplicate is OnDuplicate.ERROR))


def plan_table(
    table: Table, profile: TableProfile, options: TableOptions, access: ChangeAccess | None = None
) -> TablePlan:
    """One table's plan, with everything found on the way; problems first. Never raises for what is in the data.

    Args: access: with mode cdc, what the source allows.
    """
    choice = choose_key(table, options)
    form = choose_form(table, profile, options, choice)
    planned = plan_columns(table, profile, options, choice=choice, form=form)
    naming = naming_template(options.container, schema=table.schema, table=table.name, split_by=options.split_by)
    containers = plan_containers(profile, options, naming)
    findings = [
        *unknown_names(table, options),
        *choice.findings,
        *form.findings,
        *planned.findings,
        *_key_findings(table, profile, options, choice=choice, form=form),
        *value_findings(planned.columns, profile, key_length=planned.key_length, options=options),
        *container_findings(containers, profile, options),
        *table_findings(table, profile, options),
        *coverage_findings(table, options),
        *privilege_findings(table, options, [c.name for c in stored_columns(table, options, choice)]),
        *_sync_findings(table, options, choice, columns=planned.columns, key_length=planned.key_length, access=access),
    ]
    return TablePlan(
        schema=table.schema,
        table=table.name,
        columns=planned.columns,
        kind=form.kind,
        key_length=planned.key_length,
        key=choice.columns,
        containers=containers,
        split_by=options.split_by,
        naming=naming,
        aliases=dict(options.containers),
        on_duplicate=options.on_duplicate,
        on_bad_row=options.on_bad_row,
        aside=options.aside,
        order_by=options.order_by,
        where=options.where,
        rows=profile.rows,
        size_bytes=table.size_bytes,
        own_heap=table.own_heap,
        colliding=form.colliding,
        findings=tuple(sorted(findings, key=lambda f: _ORDER[f.severity])),
        left_out=left_out(table, options),
    )


def plan_tables(
    tables: Iterable[tuple[Table, TableProfile, TableOptions, ChangeAccess | None]],
    unread: tuple[UnreadTable, ...] = (),
    *,
    source: str = "",
    target: str = "",
    others: Iterable[str] = (),
    role: SourceRole | None = None,
    wanted: Wanted | None = None,
) -> Plan:
    """The plan of all tables, container names compared across them.

    Args: unread: tables that were not to be read; others: see `Plan`; role: who reads the source, if that is known;
            wanted: what is wanted of the source, but for the size of the tables.
    """
    given = list(tables)
    plans = [plan_table(table, profile, options, access) for table, profile, options, access in given]
    names = [(table.schema, table.name) for table, _, _, _ in given]
    followed = [(table.schema, table.name) for table, _, options, _ in given if options.sync_mode is SyncMode.CDC]
    findings = [] if role is None else list(role_findings(role, tables=names, followed=followed))
    if role is not None and role.room is not None and wanted is not None:
        octets = sum(plan.size_bytes for plan in plans)
        findings += needs_findings(replace(wanted, octets=octets), role.room, role=quoted(role.name))
    ordered = tuple(sorted(findings, key=lambda f: _ORDER[f.severity]))
    return Plan(
        with_clashes(plans), source=source, target=target, others=tuple(others), findings=ordered, unread=unread
    )


def require_sound(plan: Plan | TablePlan) -> None:
    """Return if nothing stops the load. Raises: PlanError with every problem, each with its way out."""
    tables = (plan,) if isinstance(plan, TablePlan) else plan.tables
    own = () if isinstance(plan, TablePlan) else [f for f in plan.findings if f.severity is Severity.PROBLEM]
    unread = () if isinstance(plan, TablePlan) else plan.unread
    require_none(
        [
            *(_sentence(f.subject, f.message, f.advice) for f in own),
            *(_sentence(table.qualified, p.message, p.advice) for table in tables for p in table.problems),
            *(_sentence(u.table, u.finding.message, u.finding.advice) for u in unread),
        ]
    )


def require_open(table: Table, access: ChangeAccess, *, stops: str = "the load") -> None:
    """Return if the source lets the table's changes be followed, as far as is known before anything is made.

    `stops` is what is stopped otherwise.
    What may pass by itself is left to be met. Raises: PlanError with every obstacle that will not.
    """
    lasting = [obstacle for obstacle in access.obstacles if not obstacle.passing]
    require_none((_sentence(table.qualified, o.message, o.advice) for o in lasting), stops=stops)


def require_none(problems: Iterable[str], *, stops: str = "the load") -> None:
    """Raises: PlanError if there is any problem, each a sentence. `stops` is what they stop."""
    found = tuple(problems)
    if found:
        count = "one problem stops" if len(found) == 1 else f"{len(found)} problems stop"
        raise PlanError(
            f"{count} {stops}",
            problems=found,
            state="nothing was written",
            next_step="change the config file, or what it says of the source; then look at `gridferry plan`",
        )


def _sentence(table: str, message: str, advice: str) -> str:
    return f"{table}: {message}" + (f" ({advice})" if advice else "")


def _sync_findings(
    table: Table,
    options: TableOptions,
    choice: KeyChoice,
    *,
    columns: tuple[ColumnPlan, ...],
    key_length: int,
    access: ChangeAccess | None,
) -> Iterator[Finding]:
    """What following this table later will and will not see."""
    if options.sync is None:
        return
    if table.relkind == "p":
        message = (
            "rows that go with a whole partition (DETACH, DROP or TRUNCATE of one) stay in GridDB; the next sync says "
            "so"
            if options.sync.mode is SyncMode.WATERMARK
            else "rows that come or go with a whole partition (ATTACH, DETACH, DROP or TRUNCATE of one) are in no log; "
            "the next sync says so"
        )
        yield Finding(Severity.RISK, table.qualified, message, "run `gridferry repair` after each of these")
    if options.sync.mode is SyncMode.CDC:
        known = access or ChangeAccess()
        yield from cdc_findings(table, options, choice, columns=columns, key_length=key_length, access=known)
    else:
        yield from watermark_findings(table, options, choice)


def _key_findings(
    table: Table, profile: TableProfile, options: TableOptions, *, choice: KeyChoice, form: KeyForm
) -> Iterator[Finding]:
    if choice.missing:
        message = f"no usable key: {choice.missing}"
        yield Finding(Severity.PROBLEM, "key", message, f"write {key_words(profile.advice or KeyAdvice(), options)}")
    if not choice.columns:
        return
    other = "" if profile.advice is None else key_words(profile.advice, options)
    yield from null_key_findings(profile.key, choice, where=options.where, other=other)
    duplicates = duplicate_finding(form, choice, options, other=other)
    if duplicates is not None:
        yield duplicates
    kind = "TIME_SERIES" if form.kind is ContainerKind.TIME_SERIES else "COLLECTION"
    message = f"the key is {', '.join(choice.columns)} ({choice.origin}); {kind}, because {form.reason}"
    yield Finding(Severity.INFO, "key", message)
