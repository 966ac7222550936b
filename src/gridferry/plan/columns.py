"""The target's columns: which source column feeds each, under which type rule and name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gridferry.griddb.schema import ColumnSpec, GridType
from gridferry.griddb.wire.statement import MAX_COLUMNS
from gridferry.model.epoch import NUMBERS_OF
from gridferry.model.profile import ColumnProfile, ColumnRequest, TableProfile
from gridferry.model.table import Column, Table
from gridferry.plan.column_uses import wanted_uses
from gridferry.plan.column_wish import ColumnWish, OutOfRange
from gridferry.plan.epoch_advice import epoch_advice, epoch_look
from gridferry.plan.epochs import EPOCH_DIGITS, EPOCH_KERNELS, wished_epoch
from gridferry.plan.generated_key import generated_columns
from gridferry.plan.keys import FINE_TIME_TYPES, KeyChoice, KeyForm, TimeKey, counted
from gridferry.plan.mapping import TypeRule, Use, can_be_key, choose_rule, possible_targets
from gridferry.plan.names import column_name_problem, needed_renames
from gridferry.plan.plan import ColumnPlan, Fidelity, Finding, Kernel, OnBadRow, ReadAs, Severity
from gridferry.plan.table_options import Precision, TableOptions
from gridferry.plan.type_rules import TYPE_RULES
from gridferry.plan.unfit import unfit_values
from gridferry.plan.yaml_text import flow_text

_FORM_TARGETS = {
    TimeKey.EXACT_MS: GridType.TIMESTAMP_MS,
    TimeKey.CUT_MS: GridType.TIMESTAMP_MS,
    TimeKey.SPLIT_MS: GridType.TIMESTAMP_MS,
    TimeKey.MICROSECONDS: GridType.TIMESTAMP_US,
}
# Types whose text follows from the value as it is read: such a split column can be stored too.
_PLAIN_SPLITS = frozenset({"text", "varchar", "name", "int2", "int4", "int8", "bool", "date"})


@dataclass(frozen=True)
class ColumnPlans:
    """The columns that have a rule, key columns first, and what was found about all of them."""

    columns: tuple[ColumnPlan, ...]
    key_length: int
    findings: tuple[Finding, ...]


def stored_columns(table: Table, options: TableOptions, choice: KeyChoice) -> tuple[Column, ...]:
    """The source columns that are stored, key columns first, then the others as the table has them."""
    dropped = set(options.exclude) | set(choice.columns)
    if options.split_by is not None and not options.keep_split_column:
        dropped.add(options.split_by)
    key = [column for name in choice.columns if (column := table.column(name)) is not None]
    return (*key, *(c for c in table.columns if c.name not in dropped))


def column_rule(
    column: Column, options: TableOptions, *, in_key: bool, facts: ColumnProfile | None = None
) -> TypeRule | None:
    """The rule for one column under the user's wishes, and for its data if that is known; None where it is refused."""
    asked = options.columns.get(column.name, ColumnWish())
    choose = partial(choose_rule, TYPE_RULES, column.type, in_key=in_key)
    rule = choose(
        wish=asked.type,
        truncate=options.precision is Precision.TRUNCATE,
        facts=facts,
        # Who has bad rows put aside gets the default type, and those rows put aside; but a key must be stored exactly.
        keep_rows=(in_key or options.on_bad_row is OnBadRow.ERROR) and asked.out_of_range is None,
        only=wanted_uses(column, asked, truncate=options.precision is Precision.TRUNCATE, in_key=in_key),
    )
    if isinstance(asked.out_of_range, GridType) and rule is not None and facts is not None and not rule.holds(facts):
        return choose(wish=asked.out_of_range)
    return rule


def facts_request(column: Column, options: TableOptions, *, in_key: bool) -> ColumnRequest | None:
    """What must be known about a column's data before its rule can be chosen; None where the declaration says it."""
    suited = _suited(column, in_key=in_key)
    if suited and column.name not in options.types:
        return suited[0].request(column)
    rule = column_rule(column, options, in_key=in_key)
    request = None if rule is None else rule.request(column)
    if request is None and column.name not in options.columns and column.name != options.split_by:
        return epoch_look(column)
    epoch = wished_epoch(column, options.columns.get(column.name)) if request is not None else None
    return request if request is None or epoch is None else replace(request, epoch=epoch)


def plan_columns(
    table: Table, profile: TableProfile, options: TableOptions, *, choice: KeyChoice, form: KeyForm
) -> ColumnPlans:
    """The target's columns and the problems in their types and names, all of them."""
    columns: list[ColumnPlan] = []
    findings: list[Finding] = []
    if choice.generated:
        columns += generated_columns()
    key_length = len(columns)
    beside = None
    for column in stored_columns(table, options, choice):
        in_key = column.name in choice.columns
        facts = profile.column(column.name)
        rule = column_rule(column, options, in_key=in_key, facts=facts)
        if rule is None:
            findings.append(_refusal(column, options, in_key=in_key))
            continue
        planned = _column_plan(column, options, rule, in_key=in_key)
        if facts is not None and column.name not in options.columns:
            findings += _chosen_by_data(column, options, rule, facts, in_key=in_key)
            findings += epoch_advice(column, facts, options)
        if in_key:
            planned = _time_form(planned, column, form)
            beside = planned if form.time is TimeKey.SPLIT_MS else beside
            key_length += 1
        columns.append(planned)
    if beside is not None:
        columns.insert(key_length, _fine_column(beside, columns))
    findings += _name_findings(columns)
    findings += _split_findings(table, options)
    if len(columns) > MAX_COLUMNS:
        message = f"there are {len(columns)} columns; GridDB takes {MAX_COLUMNS}"
        findings.append(Finding(Severity.PROBLEM, table.qualified, message, "leave some out with `exclude`"))
    return ColumnPlans(tuple(columns), key_length, tuple(findings))


def added_column(column: Column, options: TableOptions) -> ColumnPlan | None:
    """The plan of a column that was added after the load; None where its type has no rule.

    It takes NULL whatever the source says: rows that are in the target already have no value in it.
    """
    rule = column_rule(column, options, in_key=False)
    if rule is None:
        return None
    return _column_plan(replace(column, nullable=True), options, rule, in_key=False)


def _column_plan(column: Column, options: TableOptions, rule: TypeRule, *, in_key: bool) -> ColumnPlan:
    name = options.rename.get(column.name, column.name)
    nullable = column.nullable or rule.use is Use.NULL
    return ColumnPlan(
        source=column.name,
        pg_type=column.type.formatted,
        target=ColumnSpec(name, rule.target, array=rule.array, nullable=nullable and not in_key),
        read_as=rule.read_as,
        kernel=rule.kernel,
        verdict=rule.verdict,
        rule=rule.rule,
        scale=planned_scale(column, rule.kernel, options),
        number=column.number,
    )


def planned_scale(column: Column, kernel: Kernel, options: TableOptions) -> int | None:
    """The fractional digits that a conversion of decimals keeps; None for every other."""
    wish = options.columns.get(column.name, ColumnWish())
    if kernel in EPOCH_KERNELS:
        return None if wish.unit is None else wish.unit.digits
    if kernel is Kernel.DECIMAL_SCALED:
        return wish.scale
    return max(column.type.scale or 0, 0) if kernel is Kernel.DECIMAL_DOUBLE else None


def _chosen_by_data(
    column: Column, options: TableOptions, rule: TypeRule, facts: ColumnProfile, *, in_key: bool
) -> Iterator[Finding]:
    """What the data changed: the type is another than that of a table without rows."""
    if rule.use is Use.SUITED:
        yield from _later_values(column, options, rule)
        return
    default = next(iter(_suited(column, in_key=in_key)), None)
    if default is None and rule.use is Use.FALLBACK:
        default = column_rule(column, options, in_key=in_key)
    if default is None or default.holds(facts):
        return
    found = ", ".join(
        f"{unfit.why} ({'some rows' if unfit.rows is None else counted(unfit.rows)})"
        for unfit in unfit_values(default.kernel, default.target, facts)
    )
    message = (
        f"it is stored as {_label(rule)} and not as {_label(default)}, so that every row is kept: there are "
        f"values {found}"
    )
    if rule.kernel is Kernel.TEXT and column.type.name == "numeric":
        message += "; GridDB does not compare, order or add texts as numbers"
    yield Finding(Severity.INFO, column.name, message)


def _suited(column: Column, *, in_key: bool) -> list[TypeRule]:
    found = [r for r in TYPE_RULES if r.use is Use.SUITED and r.fits(column.type)]
    return [r for r in found if not in_key or can_be_key(r)]


def _later_values(column: Column, options: TableOptions, rule: TypeRule) -> Iterator[Finding]:
    """Every value so far fits into the type that was chosen, but a later one may not."""
    if options.sync is None:
        return
    answer = "refused" if options.on_bad_row is OnBadRow.ERROR else "quarantined"
    message = (
        f"every value so far fits {_label(rule)}, but {column.type.formatted} has others too: a later row that has one "
        f"is {answer} by a sync"
    )
    advice = f"`columns: {{{flow_text(column.name)}: string}}` takes any value, as text"
    yield Finding(Severity.RISK, column.name, message, advice)


def _label(rule: TypeRule) -> str:
    return rule.target.label + ("[]" if rule.array else "")


def _time_form(planned: ColumnPlan, column: Column, form: KeyForm) -> ColumnPlan:
    """The plan of a key column, changed to the form that `keys` chose for a time."""
    target = _FORM_TARGETS.get(form.time)
    if target is None or column.type.name not in FINE_TIME_TYPES:
        return planned
    wish = replace(planned.target, type=target)
    rule = choose_rule(TYPE_RULES, column.type, wish=target, in_key=True, truncate=form.time is TimeKey.CUT_MS)
    if rule is None:
        return planned
    changed = replace(planned, target=wish, kernel=rule.kernel, verdict=rule.verdict, rule=rule.rule)
    if form.time is not TimeKey.SPLIT_MS:
        return changed
    note = "The time cut to the millisecond; the next column keeps every digit."
    return replace(changed, kernel=Kernel.TIME_MS_TRUNCATE, verdict=Fidelity.WIDENED, rule=note)


def _fine_column(key: ColumnPlan, columns: list[ColumnPlan]) -> ColumnPlan:
    taken = {c.target.name.lower() for c in columns}
    name = next(name for name in _fine_names(key.target.name) if name.lower() not in taken)
    return replace(
        key,
        target=ColumnSpec(name, GridType.TIMESTAMP_US, nullable=False),
        kernel=Kernel.TIME_US,
        verdict=Fidelity.EXACT,
        rule=f"The time of the key column {key.target.name}, to the microsecond.",
    )


def _fine_names(key: str) -> Iterator[str]:
    yield f"{key}_us"
    number = 2
    while True:
        yield f"{key}_us{number}"
        number += 1


def _refusal(column: Column, options: TableOptions, *, in_key: bool) -> Finding:
    """A type that the user wants and cannot have: without a wish there is a rule for every type."""
    asked = options.columns[column.name]
    if isinstance(asked.out_of_range, OutOfRange) and asked.type is None:
        what = f"`out_of_range: {asked.out_of_range.value}`"
        message = f"{what} is not possible for {column.type.formatted}{' as a row key' if in_key else ''}"
        advice = "null and clamp are for times and texts that are no row key"
        return Finding(Severity.PROBLEM, column.name, message, advice)
    if asked.unit is not None and column.type.name not in NUMBERS_OF:
        message = f"{column.type.formatted} is no number that counts time, as `from` says"
        advice = "leave `from` out; it is for smallint, integer, bigint, double precision and numeric"
        return Finding(Severity.PROBLEM, column.name, message, advice)
    targets = possible_targets(TYPE_RULES, column.type, in_key=in_key)
    allowed = ", ".join(t.label.lower() for t in targets)
    role = " as a row key" if in_key else ""
    message = f"{column.type.formatted} cannot become {options.types[column.name].label}{role}"
    if asked.unit is not None:  # null and clamp, in a key
        advice = "leave `out_of_range` out: null and clamp are for columns that are no row key"
        return Finding(Severity.PROBLEM, column.name, message, advice)
    if asked.type in EPOCH_DIGITS and column.type.name in NUMBERS_OF:
        name, label = flow_text(column.name), asked.type.label.lower()
        advice = (
            f"say what the number counts: `columns: {{{name}: {{type: {label}, from: epoch_s}}}}`, or epoch_ms, ..."
        )
        return Finding(Severity.PROBLEM, column.name, message, advice)
    example = f"; for example `columns: {{{flow_text(column.name)}: {targets[0].label.lower()}}}`" if targets else ""
    return Finding(Severity.PROBLEM, column.name, message, f"possible in `columns`: {allowed}{example}")


def _name_findings(columns: Sequence[ColumnPlan]) -> Iterator[Finding]:
    needed = needed_renames([(planned.source, planned.target.name) for planned in columns])
    first: dict[str, ColumnPlan] = {}
    for planned in columns:
        name = planned.target.name
        other = first.setdefault(name.lower(), planned)
        suggested = needed.pop(planned.source, "")  # a key column may stand twice, with one name to be changed
        if not suggested:
            continue
        advice = f"give it another name with `rename: {{{flow_text(planned.source)}: {suggested}}}`"
        problem = column_name_problem(name)
        message = f'no column can be called "{name}": {problem}'
        if not problem:
            message = f'the columns {other.source} and {planned.source} would both be called "{name}" (case is ignored)'
        yield Finding(Severity.PROBLEM, planned.source, message, advice)


def _split_findings(table: Table, options: TableOptions) -> Iterator[Finding]:
    column = table.column(options.split_by) if options.split_by else None
    if column is None or not options.keep_split_column or column.name in options.exclude:
        return
    rule = column_rule(column, options, in_key=False)
    if rule is not None and rule.read_as is not ReadAs.TEXT and column.type.name not in _PLAIN_SPLITS:
        message = f"a column of type {column.type.formatted} cannot both split the table and be stored"
        advice = "leave keep_split_column out: gridferry_catalog holds the value of each container"
        yield Finding(Severity.PROBLEM, column.name, message, advice)
