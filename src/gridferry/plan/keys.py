"""The row key: which columns, in which form, and whether a container is a TIME_SERIES or a COLLECTION."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from gridferry.griddb.schema import ContainerKind, GridType
from gridferry.model.profile import ColumnProfile, KeyProfile, KeyRequest, TableProfile
from gridferry.model.table import Column, Table
from gridferry.plan.epochs import CUT_EPOCHS, wished_epoch
from gridferry.plan.generated_key import GENERATED_COLUMNS
from gridferry.plan.plan import ColumnPlan, Finding, Kernel, OnDuplicate, Severity
from gridferry.plan.table_options import KeyWish, KindWish, Precision, TableOptions
from gridferry.plan.unfit import unfit_values

MAX_KEY_COLUMNS = 16
COMPARED_ROWS = 1_000_000  # of a larger table equal rows are not counted before the load
CUT_TIMES = CUT_EPOCHS | {Kernel.TIME_MS_TRUNCATE}
FINE_TIME_TYPES = frozenset({"timestamp", "timestamptz"})
TIME_TYPES = FINE_TIME_TYPES | {"date"}
_MS_DIGITS = 3
_AS_TOLD = "as the config says"


@dataclass(frozen=True)
class KeyChoice:
    """The key's source columns without the split column, where they come from, and whether they are proven unique."""

    columns: tuple[str, ...]
    origin: str = ""
    unique: bool = False
    findings: tuple[Finding, ...] = ()
    missing: str = ""  # why there is none, where the config names none
    generated: bool = False  # then `columns` are none of the source's: `plan.generated_key`


class TimeKey(str, Enum):
    """What becomes of the time in the key."""

    NONE = "none"  # not a single time column
    EXACT_MS = "exact_ms"  # milliseconds; finer digits are refused, the data has none
    CUT_MS = "cut_ms"  # milliseconds; finer digits are lost, as the user wishes
    SPLIT_MS = "split_ms"  # milliseconds; a second column keeps all digits
    MICROSECONDS = "microseconds"


@dataclass(frozen=True)
class KeyForm:
    """The container's kind and the form of a time key, why, and how many rows meet in one key."""

    kind: ContainerKind
    time: TimeKey
    colliding: int = 0
    examples: tuple[str, ...] = ()
    reason: str = ""
    findings: tuple[Finding, ...] = ()


def counted(rows: int) -> str:
    """A number of rows in words: `1 row`, `12 rows`."""
    return "1 row" if rows == 1 else f"{rows} rows"


def choose_key(table: Table, options: TableOptions) -> KeyChoice:
    """The row key: the user's, else the primary key, else the shortest unique key without NULLs.

    Returns: a choice without columns where there is none.
    """
    if options.key is KeyWish.GENERATED:
        return _generated(table, options)
    columns, origin = _key_columns(table, options)
    if not columns:
        return KeyChoice((), missing=origin)
    within = tuple(c for c in columns if c != options.split_by)
    if not within:
        message = f"the key is the split column {options.split_by} alone, so its rows all have the same key"
        advice = "name more key columns with `key`, or leave split_by out"
        return KeyChoice((), findings=(Finding(Severity.PROBLEM, "key", message, advice),))
    findings = [
        Finding(Severity.PROBLEM, name, f"the key column {name} is not in the table", _known(table))
        for name in within
        if table.column(name) is None
    ]
    findings += [
        Finding(Severity.PROBLEM, name, f"{name} is excluded, but it is part of the key", "take it out of `exclude`")
        for name in within
        if name in options.exclude
    ]
    if len(within) > MAX_KEY_COLUMNS:
        message = f"the key has {len(within)} columns; GridDB takes {MAX_KEY_COLUMNS}"
        advice = "name fewer with `key`, or write `key: generated`, which makes a key of the row's values"
        findings.append(Finding(Severity.PROBLEM, "key", message, advice))
    present = tuple(c for c in within if table.column(c) is not None)
    return KeyChoice(present, origin, unique=_is_unique(table, options, present), findings=tuple(findings))


def proves_keys(table: Table, options: TableOptions, columns: Sequence[ColumnPlan]) -> bool:
    """Whether no two rows of the source can share a row key, now or later; `columns` are the row key's own."""
    cut = any(column.kernel in CUT_TIMES for column in columns)
    return choose_key(table, options).unique and not cut


def key_request(table: Table, options: TableOptions, choice: KeyChoice) -> KeyRequest | None:
    """What must be known about collisions in the chosen key; None without a key, and where that would cost much."""
    if not choice.columns:
        return None
    if choice.generated:
        # Only to be told of: whoever loads counts both sides, and numbers equal rows where some are missing.
        few = table.row_estimate <= COMPARED_ROWS
        return KeyRequest(columns=_hashed(table, options), whole=True) if few else None
    split = (options.split_by,) if options.split_by is not None and table.column(options.split_by) else ()
    cut = _cut_candidate(table, options, choice)
    column = table.column(cut) if cut is not None else None
    return KeyRequest(
        columns=split + choice.columns,
        split=len(split),
        unique=choice.unique,
        truncate=cut,
        epoch=None if column is None else wished_epoch(column, options.columns.get(column.name)),
    )


def choose_form(table: Table, profile: TableProfile, options: TableOptions, choice: KeyChoice) -> KeyForm:
    """The container's kind and the precision of a time key, from the data and the user's wishes."""
    key = profile.key or KeyProfile(choice.columns)
    if choice.generated:
        return _form_by_type(options, key, "its key is generated")
    column = time_key(table, options, choice)
    if column is None or options.types.get(column.name, GridType.TIMESTAMP_MS) is not GridType.TIMESTAMP_MS:
        reason = "the key is not a single time" if column is None else "its type was chosen in `columns`"
        return _form_by_type(options, key, reason)
    if column.name not in options.types and _is_far(profile.column(column.name)):
        return _form_by_type(options, key, f"{column.name} has times that GridDB's do not reach")
    if options.precision is Precision.TRUNCATE and _can_be_fine(column, options):
        return _cut_form(options, key)
    if column.name in options.types or not _may_be_fine(column, profile, options):
        return _exact_form(options, column, key)
    return _fine_form(options, key)


def time_key(table: Table, options: TableOptions, choice: KeyChoice) -> Column | None:
    """The key's column if it is a single time, or a number that becomes one; else None."""
    column = table.column(choice.columns[0]) if len(choice.columns) == 1 else None
    return column if column is not None and is_time(column, options) else None


def is_time(column: Column, options: TableOptions) -> bool:
    """Whether a column holds times, also as numbers of which the config says what they count."""
    return column.type.name in TIME_TYPES or wished_epoch(column, options.columns.get(column.name)) is not None


def duplicate_finding(form: KeyForm, choice: KeyChoice, options: TableOptions, *, other: str = "") -> Finding | None:
    """What the rows that meet in one key mean under `on_duplicate`; None where there are none.

    Args: other: a key that no two rows share, as words.
    """
    if not form.colliding:
        return None
    if choice.generated:
        examples = f" (for example {'; '.join(form.examples)})" if form.examples else ""
        equals = "equals" if form.colliding == 1 else "equal"
        message = f"{counted(form.colliding)} {equals} an earlier one in every column{examples}; each is stored"
        return Finding(Severity.INFO, "key", message)
    shown = ", ".join(choice.columns)
    where = f" within one {options.split_by}" if options.split_by else ""
    cut = " cut to milliseconds" if form.time in (TimeKey.CUT_MS, TimeKey.SPLIT_MS) else ""
    examples = f" (for example {'; '.join(form.examples)})" if form.examples else ""
    met = "shares its" if form.colliding == 1 else "share their"
    message = f"{counted(form.colliding)} {met} key ({shown}{cut}){where} with an earlier row{examples}"
    if options.on_duplicate is OnDuplicate.ERROR:
        way = f"write {other}" if other else "add columns to `key` until it is unique"
        advice = f"{way}; or say what to keep: on_duplicate: last, first or quarantine"
        return Finding(Severity.PROBLEM, "key", message, advice)
    if options.on_duplicate is OnDuplicate.QUARANTINE:
        return Finding(
            Severity.RISK, "key", f"{message}; one row of each key is stored, the others go to the quarantine"
        )
    order = ", ".join(options.order_by) or "their physical place"
    message += f"; of each group the {options.on_duplicate.value} by {order} is kept"
    return Finding(Severity.RISK, "key", message, "" if options.order_by else "name columns in `order_by` to be exact")


def _generated(table: Table, options: TableOptions) -> KeyChoice:
    taken = [name for name in (*GENERATED_COLUMNS, KeyWish.GENERATED.value) if table.column(name) is not None]
    if not taken:
        return KeyChoice(
            GENERATED_COLUMNS,
            "generated from the row's values",
            findings=tuple(_left_aside(table, options)),
            generated=True,
        )
    message = f"`key: generated` makes columns of its own, and the table has a column {taken[0]}"
    advice = "name the columns of the key as a list, such as `key: [generated]`"
    if taken[0] != KeyWish.GENERATED.value:
        advice = f"rename {taken[0]} in the source, or read the table through a view that calls it something else"
    return KeyChoice((), findings=(Finding(Severity.PROBLEM, "key", message, advice),))


def _left_aside(table: Table, options: TableOptions) -> Iterator[Finding]:
    columns, name = _own_key(table, options)
    if columns:
        message = f"{name} ({', '.join(columns)}) is not used, because the config says `key: generated`"
        yield Finding(Severity.RISK, "key", message, "leave `key` out: a row that is changed then keeps its key")


def _hashed(table: Table, options: TableOptions) -> tuple[str, ...]:
    """What a generated key is made of: the columns that are stored, and the one that splits the table."""
    return tuple(c.name for c in table.columns if c.name not in options.exclude or c.name == options.split_by)


def _key_columns(table: Table, options: TableOptions) -> tuple[tuple[str, ...], str]:
    if options.key_columns:
        return options.key_columns, "the config"
    return _own_key(table, options)


def _own_key(table: Table, options: TableOptions) -> tuple[tuple[str, ...], str]:
    """The key that a constraint makes, and its name; without one, why there is none."""
    fitting = [k for k in table.keys if len(set(k.columns) - {options.split_by}) <= MAX_KEY_COLUMNS]
    primary = next((k for k in table.keys if k.primary), None)
    if primary is not None and primary in fitting:
        return primary.columns, "the primary key"
    usable = [k for k in fitting if all(_not_null(table, c) for c in k.columns)]
    if usable:
        best = min(usable, key=lambda k: len(k.columns))
        return best.columns, f"the unique key {best.name}"
    if primary is not None:
        return (), f"the primary key has {len(primary.columns)} columns, and GridDB takes {MAX_KEY_COLUMNS}"
    return (), "there is no primary key and no unique key without NULLs"


def _is_unique(table: Table, options: TableOptions, columns: tuple[str, ...]) -> bool:
    """Whether a constraint says so. Rows with a NULL in the key are refused anyway, so NULLs do not matter there."""
    known = set(columns)
    if options.split_by is not None and _not_null(table, options.split_by):
        known.add(options.split_by)
    return any(set(key.columns) <= known for key in table.keys)


def _not_null(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and not column.nullable


def _known(table: Table) -> str:
    return f"it has {', '.join(c.name for c in table.columns)}"


def _cut_candidate(table: Table, options: TableOptions, choice: KeyChoice) -> str | None:
    column = time_key(table, options, choice)
    if column is None or not _can_be_fine(column, options):
        return None
    wish = options.types.get(column.name)
    if wish is not None:
        return column.name if wish is GridType.TIMESTAMP_MS and options.precision is Precision.TRUNCATE else None
    if options.kind is KindWish.COLLECTION and options.precision is not Precision.TRUNCATE:
        return None
    return column.name


def _can_be_fine(column: Column, options: TableOptions) -> bool:
    epoch = wished_epoch(column, options.columns.get(column.name))
    if epoch is not None:
        return epoch.may_lose
    declared = column.type.precision
    return column.type.name in FINE_TIME_TYPES and (declared is None or declared > _MS_DIGITS)


def _may_be_fine(column: Column, profile: TableProfile, options: TableOptions) -> bool:
    if not _can_be_fine(column, options):
        return False
    facts = profile.column(column.name)
    unknown = facts is None or facts.fine is None or not profile.exact
    # A history of whole seconds says nothing of the rows that a sync brings: now() has microseconds.
    kept = options.precision is Precision.KEEP or options.sync is not None
    return unknown or kept or bool(facts and facts.fine)


def _is_far(facts: ColumnProfile | None) -> bool:
    return facts is not None and next(unfit_values(Kernel.TIME_US, GridType.TIMESTAMP_US, facts), None) is not None


def _form_by_type(options: TableOptions, key: KeyProfile, reason: str) -> KeyForm:
    """No single time key, or one that is stored in another type."""
    findings: tuple[Finding, ...] = ()
    if options.kind is KindWish.TIMESERIES:
        message = "a TIME_SERIES needs exactly one key column, a time to the millisecond"
        advice = "name one time column with `key`, without a type of its own in `columns`, or leave `kind` out"
        findings = (Finding(Severity.PROBLEM, "key", message, advice),)
    return KeyForm(ContainerKind.COLLECTION, TimeKey.NONE, key.colliding, key.examples, reason, findings)


def _exact_form(options: TableOptions, column: Column, key: KeyProfile) -> KeyForm:
    if options.kind is KindWish.COLLECTION:
        exact = TimeKey.EXACT_MS if column.type.name == "date" or column.name in options.types else TimeKey.MICROSECONDS
        return KeyForm(ContainerKind.COLLECTION, exact, key.colliding, key.examples, _AS_TOLD)
    reason = f"{column.name} has no digits below the millisecond"
    return KeyForm(ContainerKind.TIME_SERIES, TimeKey.EXACT_MS, key.colliding, key.examples, reason)


def _cut_form(options: TableOptions, key: KeyProfile) -> KeyForm:
    collection = options.kind is KindWish.COLLECTION
    kind = ContainerKind.COLLECTION if collection else ContainerKind.TIME_SERIES
    colliding, examples = _truncated(key)
    return KeyForm(
        kind, TimeKey.CUT_MS, colliding, examples, "digits below the millisecond are cut, as the config says"
    )


def _fine_form(options: TableOptions, key: KeyProfile) -> KeyForm:
    if options.kind is KindWish.COLLECTION:
        return KeyForm(ContainerKind.COLLECTION, TimeKey.MICROSECONDS, key.colliding, key.examples, _AS_TOLD)
    truncated, examples = _truncated(key)
    kept = "digits below the millisecond are kept in a second column"
    if options.kind is KindWish.TIMESERIES:
        return KeyForm(ContainerKind.TIME_SERIES, TimeKey.SPLIT_MS, truncated, examples, f"{_AS_TOLD}; {kept}")
    if truncated <= key.colliding:
        reason = f"no two rows of a container differ only below the millisecond; {kept}"
        return KeyForm(ContainerKind.TIME_SERIES, TimeKey.SPLIT_MS, truncated, examples, reason)
    close = counted(truncated - key.colliding)
    reason = f"by milliseconds {close} would meet another of the same container, and by microseconds they differ"
    return KeyForm(ContainerKind.COLLECTION, TimeKey.MICROSECONDS, key.colliding, key.examples, reason)


def _truncated(key: KeyProfile) -> tuple[int, tuple[str, ...]]:
    if key.truncated_colliding is None:
        return key.colliding, key.examples
    return key.truncated_colliding, key.truncated_examples or key.examples
