"""Write docs/reference/types.md from the type table and its tested edge values; `--check` fails if it is stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.atlas import EXTENSIONS, VALUES  # noqa: E402
from tests.type_samples import SAMPLES  # noqa: E402
from tools.generated import write_or_check  # noqa: E402

from gridferry.griddb.schema import GridType  # noqa: E402
from gridferry.model.table import PgType, TypeKind  # noqa: E402
from gridferry.plan.mapping import TypeRule, Use, choose_rule  # noqa: E402
from gridferry.plan.plan import Fidelity  # noqa: E402
from gridferry.plan.type_rules import TYPE_RULES  # noqa: E402
from gridferry.transform.refusals import SENTENCES, Reason  # noqa: E402

_UNITS = {
    GridType.TIMESTAMP_MS: timedelta(milliseconds=1),
    GridType.TIMESTAMP_US: timedelta(microseconds=1),
}
PAGE = ROOT / "docs" / "reference" / "types.md"
_NAMES = {
    "int2": "smallint", "int4": "integer", "int8": "bigint", "float4": "real", "float8": "double precision",
    "bool": "boolean", "bpchar": "char(n)", "enum": "any enum", "*": "any type",
}  # fmt: skip
_VERDICTS = {
    Fidelity.EXACT: "the same value, the same meaning",
    Fidelity.WIDENED: "another type, from which every value comes back unchanged; a value that does not fit is refused",
    Fidelity.TEXT: (
        "its text in UTF-8, which PostgreSQL reads back to the same value; GridDB compares and adds no such values"
    ),
    Fidelity.LOSSY: "information is lost, because you said so",
    Fidelity.REFUSED: "the type that the config asks for cannot hold it; the plan names every such column and stops",
}
_SECTIONS = (
    ("Without a word in the config", (Use.DEFAULT,)),
    ("Where every value that is there fits", (Use.SUITED,)),
    ("Where the data has what the default cannot hold", (Use.FALLBACK,)),
    ("In a row key", (Use.KEY,)),
    ("On demand: `columns: {name: {type: long, scale: 2}}`", (Use.SCALED,)),
    ("On demand: `columns: {name: {out_of_range: null}}`, or `clamp`", (Use.NULL, Use.CLAMP)),
    ("On demand: `columns: {name: {type: timestamp(3), from: epoch_ms}}`", (Use.EPOCH, Use.EPOCH_TRUNCATE)),
    ("On demand: `from` with `out_of_range: null`, or `clamp`", (Use.EPOCH_NULL, Use.EPOCH_CLAMP)),
    ("On demand: `columns: {name: type}`", (Use.OVERRIDE,)),
    ("On demand, with `precision: truncate`", (Use.TRUNCATE,)),
)
_HEAD = """# Type rules

<!-- Made by tools/type_table.py from gridferry.plan.type_rules and tests/type_samples.py. Do not edit. -->

What each PostgreSQL type becomes in GridDB, how well, and what happens at the edges. Domains follow their base type.
`gridferry plan` shows the same verdicts for your tables. Every edge value on this page is a test.
"""
_NOTES = {
    Use.SUITED: """A look at the data finds whether every value fits; then the column gets the type here, else its
default. The plan says which and why. Decimals fit where each is read back from its double to the same number, or from a
LONG. Arrays fit where all are flat: no NULL among the elements, one dimension with the lower bound 1, at most 4,000
elements; an empty array is not NULL. A value that comes after the load and does not fit is refused or quarantined, as
`on_bad_row` says. `columns: {name: string}` takes the text from the start, which holds any value; a column without a
value gets it too.
""",
    Use.FALLBACK: """A look at the data finds dates before 1970 or after 9999, infinities, texts of more than 31,744
bytes, and in databases in SQL_ASCII texts that are no UTF-8. Without a word in the config such a column then gets a
type that keeps every row, and the plan says which and why. With `on_bad_row: quarantine`, or with a type in `columns`,
such rows are put aside or refused instead; a value that comes after the load is, too. `columns: {name: long}`, or
`blob`, takes these types from the start.
""",
    Use.SCALED: """Money as a number that is exact: 9.99 with `scale: 2` is 999. A number with more decimals is
refused or quarantined. `columns: {name: {type: double, exact: true}}` asks for a double that refuses what does not come
back, `exact: false` for the nearest one; `double` alone leaves it to the data.
""",
    Use.EPOCH: """Time that the source keeps as a number since 1970 UTC, as Zabbix, ThingsBoard and Home Assistant do:
`from` is `epoch_s`, `epoch_ms`, `epoch_us` or `epoch_ns`. Such a column may be the row key, alone a TIMESTAMP(3) of a
TIME_SERIES, and the column that mode watermark follows, with a `lookback` in time. Each time gives its number back;
what has digits that the type has not is refused or quarantined, and cut off (lossy) with `precision: truncate`, but for
a row key of TIMESTAMP(6). `plan` names columns whose numbers plainly are times.
""",
    Use.NULL: """For values that the type cannot hold. `out_of_range: error` refuses such rows by name, with no other
type in place of the default; `quarantine` puts them aside, whatever the table's `on_bad_row` says; a type, as in
`out_of_range: string`, is taken where the data needs one.
""",
    Use.KEY: """Row key columns can only be STRING, INTEGER, LONG, TIMESTAMP(3) and TIMESTAMP(6). Where a default of the
first table is none of these, the rule here takes its place; every other type is in a row key as its text. A single
`timestamp` or `timestamptz` key becomes TIMESTAMP(3) in a TIME_SERIES, with a second column for digits below the
millisecond where the data has any.
""",
}
_ATLAS = """## Every type of PostgreSQL

All types of a fresh PostgreSQL 18 and of some extensions, without a word in the config. Composite types and domains
over them, ranges of one's own, and types of any other extension are `text`. A test loads values of each and reads them
back into PostgreSQL as they were; a type that it does not know fails it. Text is as PostgreSQL writes it with ISO
dates, ISO 8601 intervals, UTC, floats and bytes without loss, and `lc_monetary = C` for `money` (`$12.34`).
"""


def page() -> str:
    """The page's text."""
    edges: dict[int, list[str]] = {}
    for sample in SAMPLES:
        rule = choose_rule(TYPE_RULES, sample.pg_type, wish=sample.wish, in_key=sample.in_key, truncate=sample.truncate)
        edges.setdefault(id(rule), []).extend(_edge(sample.target, e.literal, e.stored) for e in sample.edges)
    parts = [_HEAD, "\n".join(f"- **{v.value}**: {text}" for v, text in _VERDICTS.items()), ""]
    for title, uses in _SECTIONS:
        parts += [f"## {title}", "", *(_NOTES[use] for use in uses if use in _NOTES)]
        parts += ["| PostgreSQL | GridDB | verdict | rule | edge values |", "|---|---|---|---|---|"]
        parts += [_row(rule, edges.get(id(rule), [])) for rule in TYPE_RULES if rule.use in uses]
        parts.append("")
    return "\n".join([*parts, *_atlas()])


def _atlas() -> Iterator[str]:
    """A line for each type that there is, in the order of names."""
    yield from (_ATLAS, "| type | GridDB | verdict | in a row key | an array of it |", "|---|---|---|---|---|")
    for name in sorted({*VALUES, *EXTENSIONS}):
        shown = {"char": '"char"'}.get(name, _NAMES.get(name, name))
        array = PgType(f"_{name}", f"{name}[]", TypeKind.ARRAY)
        plain, key, many = (
            choose_rule(TYPE_RULES, kind, in_key=in_key)
            for kind, in_key in ((PgType(name, name), False), (PgType(name, name), True), (array, False))
        )
        if plain is not None and key is not None and many is not None:
            flat = next((r for r in TYPE_RULES if r.use is Use.SUITED and r.fits(array)), None)
            lists = "" if flat is None else f"{flat.target.label}[], "
            into = " | ".join([plain.target.label, plain.verdict.value, key.target.label, lists + many.target.label])
            yield f"| `{shown}` | {into} |"
    yield ""


def _row(rule: TypeRule, edges: list[str]) -> str:
    names = ", ".join(f"`{_shown_type(name)}`" for name in rule.types)
    condition = f" ({rule.when.label})" if rule.when.label else ""
    shown = "<br>".join(edges)
    target = rule.target.label + ("[]" if rule.array else "")
    return f"| {names}{condition} | {target} | {rule.verdict.value} | {rule.rule} | {shown} |"


def _shown_type(name: str) -> str:
    return f"{_NAMES.get(name[1:], name[1:])}[]" if name.startswith("_") else _NAMES.get(name, name)


def _edge(target: GridType, literal: str, stored: object) -> str:
    text = f"{literal[:8]}... ({len(literal)} characters)" if len(literal) > 60 else literal or "(empty)"
    if isinstance(stored, Reason):
        return f"`{text}`: refused, it {SENTENCES[stored]}"
    if isinstance(stored, bytes | str) and len(stored) > 60:
        return f"`{text}`: all of it"
    shown = _shown(target, stored)
    return f"`{text}`: the same" if shown in (literal, f"{literal}.0") else f"`{text}`: `{shown}`"


def _shown(target: GridType, stored: object) -> str:
    if target in _UNITS and isinstance(stored, int):
        moment = datetime(1970, 1, 1) + stored * _UNITS[target]
        return f"{moment.isoformat(sep=' ', timespec='auto')}Z"
    if isinstance(stored, bytes):
        return f"\\x{stored.hex()}" if stored else ""
    if isinstance(stored, bool):
        return str(stored).lower()
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(stored), str(stored))


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), tool="type_table"))
