"""Facts about the data -> findings: which values the plan cannot store, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gridferry import numbers
from gridferry.model.coverage_words import named
from gridferry.model.profile import KeyProfile, TableProfile
from gridferry.model.table import Table
from gridferry.plan.advice import leave_out_nulls
from gridferry.plan.coverage import left_out
from gridferry.plan.epochs import EPOCH_KERNELS
from gridferry.plan.keys import KeyChoice, counted
from gridferry.plan.plan import ColumnPlan, Fidelity, Finding, Kernel, OnBadRow, Severity
from gridferry.plan.table_options import TableOptions
from gridferry.plan.unfit import Unfit, unfit_values
from gridferry.plan.yaml_text import flow_text

_SHOWN = 3


def value_findings(
    columns: tuple[ColumnPlan, ...], profile: TableProfile, *, key_length: int, options: TableOptions
) -> Iterator[Finding]:
    """What the profile says about values that do not fit, column by column."""
    seen: set[str] = set()
    for position, planned in enumerate(columns):
        facts = profile.column(planned.source)
        if planned.verdict is Fidelity.LOSSY:
            advice = "leave the override out to keep every value"
            message = f"{planned.pg_type} to {planned.target.label} loses information: {planned.rule}"
            yield Finding(Severity.RISK, planned.source, message, advice)
        if facts is None or planned.source in seen:
            continue
        seen.add(planned.source)
        for unfit in unfit_values(planned.kernel, planned.target.type, facts):
            yield _unfit_finding(planned, unfit, in_key=position < key_length, options=options)


def null_key_findings(key: KeyProfile | None, choice: KeyChoice, *, where: str, other: str) -> Iterator[Finding]:
    """Rows with NULL in a key column cannot be addressed at all."""
    if key is not None and key.nulls:
        message = f"NULL in the key ({', '.join(choice.columns)}), in {counted(key.nulls)}"
        without = leave_out_nulls(choice.columns, where=where)
        way = f"write {other}" if other else "choose a `key` without NULLs, or `key: generated`, which keeps every row"
        advice = f"{way}; or {without}"
        yield Finding(Severity.PROBLEM, "key", message, advice)


def table_findings(table: Table, profile: TableProfile, options: TableOptions) -> Iterator[Finding]:
    """What the table's nature means for loading it."""
    if table.elsewhere:
        message = f"it is not read by pages: {table.elsewhere}"
        advice = "an interrupted load reads it again from the start"
        yield Finding(Severity.RISK, table.qualified, message, advice)
    if not profile.exact:
        message = "only a sample of the rows was looked at; counts are estimates and rarer values were not seen"
        yield Finding(Severity.RISK, table.qualified, message, "a value that does not fit is found when it is loaded")
    generated = [c.name for c in table.columns if c.generated and c.name not in options.exclude]
    if generated:
        message = f"generated columns ({', '.join(generated)}) are loaded as the values they have"
        yield Finding(Severity.INFO, table.qualified, message)


def coverage_findings(table: Table, options: TableOptions) -> Iterator[Finding]:
    """What of the table will not be in the target, because the config says so."""
    gone = left_out(table, options)
    if gone:
        are = "is" if len(gone) == 1 else "are"
        message = (
            f"{len(gone)} of {numbers.plural(len(table.columns), 'column')} {are} left out, and lost with the source: "
        )
        unconfirmed = [column for column in gone if not column.confirmed]
        advice = ""
        if unconfirmed:
            reasons = ", ".join(f"{flow_text(c.name)}: REASON" for c in unconfirmed[:_SHOWN])
            more = ", ..." if len(unconfirmed) > _SHOWN else ""
            advice = f"cutover asks for the reason: `exclude: {{{reasons}{more}}}`, or --accept-excluded"
        yield Finding(Severity.RISK, table.qualified, message + named(gone), advice)
    if options.where:
        message = f"only rows that meet `where` are loaded and compared: {' '.join(options.where.split())}"
        yield Finding(Severity.INFO, table.qualified, message)


def privilege_findings(table: Table, options: TableOptions, read: Iterable[str]) -> Iterator[Finding]:
    """Columns that the load would read and the role may not; `read` are those that are stored."""
    also = (options.split_by, *options.order_by, None if options.sync is None else options.sync.column)
    wanted = {*read, *(name for name in also if name is not None)}
    for column in table.columns:
        if column.name in wanted and not column.readable:
            message = f"the role may not read the column {column.name}"
            grant = f"GRANT SELECT ({_quoted(column.name)}) ON {_quoted(table.schema)}.{_quoted(table.name)}"
            without = f"leave it out: `exclude: {{{flow_text(column.name)}: REASON}}`"
            advice = f"{grant} TO the role that gridferry logs in as, or {without}"
            yield Finding(Severity.PROBLEM, column.name, message, advice)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def unknown_names(table: Table, options: TableOptions) -> Iterator[Finding]:
    """Columns that the config names and the table does not have."""
    wanted: dict[str, tuple[str, ...]] = {
        "split_by": (options.split_by,) if options.split_by else (),
        "rename": tuple(options.rename),
        "exclude": tuple(options.exclude),
        "columns": tuple(options.columns),
        "order_by": options.order_by,
        "sync.column": (options.sync.column,) if options.sync and options.sync.column else (),
    }
    known = ", ".join(c.name for c in table.columns)
    for option, names in wanted.items():
        for name in names:
            if table.column(name) is None:
                message = f"`{option}` names the column {name}, which is not in the table"
                yield Finding(Severity.PROBLEM, name, message, f"it has {known}")


def _unfit_finding(planned: ColumnPlan, unfit: Unfit, *, in_key: bool, options: TableOptions) -> Finding:
    rows = "some rows" if unfit.rows is None else counted(unfit.rows)
    values = f"values of {planned.source} {unfit.why}, in {rows}"
    if in_key:
        advice = "correct them in the source, leave those rows out with `where`, or choose another `key`"
        if planned.kernel in EPOCH_KERNELS:
            advice = f"{advice}; or keep the number itself, without `from`"
        return Finding(Severity.PROBLEM, planned.source, f"{values}; a key must be stored exactly", advice)
    if options.on_bad_row is OnBadRow.ERROR and planned.source not in options.aside:
        return Finding(Severity.PROBLEM, planned.source, f"{values}; such a row is refused", _advice(planned))
    advice = f"keep every row with another type: {_typed(planned)}"
    return Finding(Severity.RISK, planned.source, f"{values}; such a row goes to the quarantine", advice)


def _advice(planned: ColumnPlan) -> str:
    aside = f"`columns: {{{flow_text(planned.source)}: {{out_of_range: quarantine}}}}`"
    return (
        f"set `on_bad_row: quarantine` to put such rows aside, or {aside} for this column's alone; correct them in the "
        f"source, or choose another type: {_typed(planned)}"
    )


def _typed(planned: ColumnPlan) -> str:
    if planned.kernel in EPOCH_KERNELS:
        kept = {"double precision": "double", "integer": "long", "bigint": "long", "smallint": "long"}
        return f"`columns: {{{flow_text(planned.source)}: {kept.get(planned.pg_type, 'string')}}}`"
    others = {Kernel.TEXT: "blob", Kernel.TIME_US: "long", Kernel.DATE_MS: "long"}
    return f"`columns: {{{flow_text(planned.source)}: {others.get(planned.kernel, 'string')}}}`"
