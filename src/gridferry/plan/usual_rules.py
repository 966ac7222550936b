"""The part of the type table that needs no word in the config: a type, what the data shows, and every other type."""

from __future__ import annotations

from gridferry.griddb.schema import GridType as G
from gridferry.griddb.wire.statement import MAX_STRING_BYTES
from gridferry.model.profile import Facts
from gridferry.plan.mapping import TypeRule, Use
from gridferry.plan.numeric_types import DECLARED, INTEGRAL, SHORT, WHOLE, WIDE
from gridferry.plan.plan import Fidelity, Kernel, ReadAs
from gridferry.plan.unfit import MAX_DATE_US, MAX_TIME_US

# What PostgreSQL makes itself and reads from no text. Source: their input functions, which refuse every value.
UNREADABLE = (
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_ddl_command",
    "gtsvector",
)
_TEXTS = ("text", "varchar")
_TIMES = ("timestamp", "timestamptz")
_INFINITIES = "infinity is the greatest LONG, -infinity the least"

USUAL: tuple[TypeRule, ...] = (
    TypeRule(("int2",), G.SHORT, Fidelity.EXACT, Kernel.SAME, "The same 16-bit integer."),
    TypeRule(("int4",), G.INTEGER, Fidelity.EXACT, Kernel.SAME, "The same 32-bit integer."),
    TypeRule(("int8",), G.LONG, Fidelity.EXACT, Kernel.SAME, "The same 64-bit integer."),
    TypeRule(
        ("float4",),
        G.FLOAT,
        Fidelity.EXACT,
        Kernel.SAME,
        "The same 32-bit float; NaN and infinities too (MAX over a NaN is NaN).",
    ),
    TypeRule(
        ("float8",),
        G.DOUBLE,
        Fidelity.EXACT,
        Kernel.SAME,
        "The same 64-bit float; NaN and infinities too (MAX over a NaN is NaN).",
    ),
    TypeRule(("bool",), G.BOOL, Fidelity.EXACT, Kernel.SAME, "True or false."),
    TypeRule(
        ("numeric",),
        G.LONG,
        Fidelity.WIDENED,
        Kernel.DECIMAL_LONG,
        "The whole number as a 64-bit integer; NaN is refused.",
        read_as=ReadAs.TEXT,
        when=WHOLE,
        facts=Facts.NUMERIC,
    ),
    TypeRule(
        ("numeric",),
        G.DOUBLE,
        Fidelity.WIDENED,
        Kernel.DECIMAL_DOUBLE,
        "The nearest double; rounding it to the declared scale gives the value back. NaN stays NaN.",
        read_as=ReadAs.TEXT,
        when=SHORT,
    ),
    TypeRule(
        ("numeric",),
        G.STRING,
        Fidelity.TEXT,
        Kernel.TEXT,
        "The digits as PostgreSQL shows them, none lost; GridDB does not compare or add them as numbers.",
        read_as=ReadAs.TEXT,
        when=DECLARED,
        use=Use.KEY,
    ),
    TypeRule(
        ("numeric",),
        G.STRING,
        Fidelity.TEXT,
        Kernel.TEXT,
        "The digits as PostgreSQL shows them, none lost; GridDB does not compare or add them as numbers.",
        read_as=ReadAs.TEXT,
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(
        _TEXTS,
        G.STRING,
        Fidelity.EXACT,
        Kernel.TEXT,
        "The same text in UTF-8.",
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(
        ("bpchar",),
        G.STRING,
        Fidelity.EXACT,
        Kernel.TEXT,
        "The same text with its padding blanks, as SELECT shows it.",
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(("name",), G.STRING, Fidelity.EXACT, Kernel.TEXT, "The same text."),
    TypeRule(("bytea",), G.BLOB, Fidelity.EXACT, Kernel.BYTES, "The same bytes."),
    TypeRule(
        ("date",),
        G.TIMESTAMP_MS,
        Fidelity.WIDENED,
        Kernel.DATE_MS,
        "Midnight UTC of that day; before 1970, after 9999 and infinity are refused.",
        facts=Facts.DATE,
        low=0,
        high=MAX_DATE_US,
    ),
    TypeRule(
        ("timestamp",),
        G.TIMESTAMP_US,
        Fidelity.EXACT,
        Kernel.TIME_US,
        "The wall clock read as UTC, to the microsecond; before 1970, after 9999 and infinity are refused.",
        facts=Facts.TIME,
        low=0,
        high=MAX_TIME_US,
    ),
    TypeRule(
        ("timestamptz",),
        G.TIMESTAMP_US,
        Fidelity.EXACT,
        Kernel.TIME_US,
        "The same instant, to the microsecond; before 1970, after 9999 and infinity are refused.",
        facts=Facts.TIME,
        low=0,
        high=MAX_TIME_US,
    ),
    TypeRule(
        ("uuid",),
        G.STRING,
        Fidelity.WIDENED,
        Kernel.TEXT,
        "36 characters, lower case, with hyphens.",
        read_as=ReadAs.TEXT,
    ),
    TypeRule(
        ("json",),
        G.STRING,
        Fidelity.EXACT,
        Kernel.TEXT,
        "The same text, blanks and all.",
        read_as=ReadAs.TEXT,
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(
        ("jsonb",),
        G.STRING,
        Fidelity.WIDENED,
        Kernel.TEXT,
        "PostgreSQL's own text of it.",
        read_as=ReadAs.TEXT,
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(("enum",), G.STRING, Fidelity.WIDENED, Kernel.TEXT, "The label.", read_as=ReadAs.TEXT),
    # Row keys: types whose default cannot be one.
    TypeRule(("int2",), G.INTEGER, Fidelity.WIDENED, Kernel.NUMBER, "The same number in 32 bits.", use=Use.KEY),
    TypeRule(
        ("bool",),
        G.STRING,
        Fidelity.WIDENED,
        Kernel.TEXT,
        "The text true or false.",
        read_as=ReadAs.TEXT,
        use=Use.KEY,
    ),
    # Decimals of any length, where all come back.
    TypeRule(
        ("numeric",),
        G.LONG,
        Fidelity.WIDENED,
        Kernel.DECIMAL_LONG,
        "The whole number as a 64-bit integer; one that needs more is refused, and NaN.",
        read_as=ReadAs.TEXT,
        use=Use.SUITED,
        when=INTEGRAL,
        facts=Facts.NUMERIC,
    ),
    TypeRule(
        ("numeric",),
        G.DOUBLE,
        Fidelity.WIDENED,
        Kernel.DECIMAL_DOUBLE_CHECKED,
        "The nearest double, whose shortest decimal is the number; another one is refused. NaN stays NaN.",
        read_as=ReadAs.TEXT,
        use=Use.SUITED,
        facts=Facts.NUMERIC,
        when=WIDE,
    ),
    TypeRule(
        ("numeric",),
        G.LONG,
        Fidelity.WIDENED,
        Kernel.DECIMAL_LONG,
        "The whole number as a 64-bit integer; a fraction, NaN, infinity or more than 64 bits is refused.",
        read_as=ReadAs.TEXT,
        use=Use.SUITED,
        facts=Facts.NUMERIC,
        when=WIDE,
        key=False,
    ),
    # Arrays, where all are flat.
    *(
        TypeRule(
            types,
            target,
            verdict,
            Kernel.LIST,
            rule,
            read_as=ReadAs.TEXT,
            use=Use.SUITED,
            facts=facts,
            array=True,
        )
        for types, target, verdict, rule, facts in (
            (("_bool",), G.BOOL, Fidelity.EXACT, "The same truths.", Facts.LIST),
            (("_int2",), G.SHORT, Fidelity.EXACT, "The same 16-bit integers.", Facts.LIST),
            (("_int4",), G.INTEGER, Fidelity.EXACT, "The same 32-bit integers.", Facts.LIST),
            (("_int8",), G.LONG, Fidelity.EXACT, "The same 64-bit integers.", Facts.LIST),
            (("_float4",), G.FLOAT, Fidelity.EXACT, "The same 32-bit floats.", Facts.LIST),
            (("_float8",), G.DOUBLE, Fidelity.EXACT, "The same 64-bit floats.", Facts.LIST),
            (("_text", "_varchar"), G.STRING, Fidelity.EXACT, "The same texts.", Facts.LIST_OF_TEXT),
            (("_uuid",), G.STRING, Fidelity.WIDENED, "36 characters each.", Facts.LIST_OF_TEXT),
            (
                ("_timestamp", "_timestamptz"),
                G.TIMESTAMP_MS,
                Fidelity.EXACT,
                "The same times, to the millisecond, a timestamp read as UTC.",
                Facts.LIST_OF_TIMES,
            ),
            (("_date",), G.TIMESTAMP_MS, Fidelity.WIDENED, "Midnight UTC of each day.", Facts.LIST_OF_TIMES),
        )
    ),
)
FALLBACKS: tuple[TypeRule, ...] = (
    # Where the data has what the default cannot hold.
    TypeRule(
        ("date",),
        G.LONG,
        Fidelity.WIDENED,
        Kernel.DATE_LONG,
        f"Days since 1970-01-01; {_INFINITIES}.",
        use=Use.FALLBACK,
    ),
    TypeRule(
        _TIMES,
        G.LONG,
        Fidelity.WIDENED,
        Kernel.TIME_LONG,
        f"Microseconds since 1970 UTC; {_INFINITIES}. After the year 294246 is refused.",
        use=Use.FALLBACK,
        facts=Facts.TIME,
    ),
    TypeRule(
        _TIMES,
        G.STRING,
        Fidelity.TEXT,
        Kernel.TEXT,
        "The time as PostgreSQL writes it.",
        read_as=ReadAs.TEXT,
        use=Use.FALLBACK,
    ),
)
EVERY_OTHER: tuple[TypeRule, ...] = (
    # Every other type. The text that pg_dump rests on holds every value of every type.
    TypeRule(
        UNREADABLE,
        G.STRING,
        Fidelity.LOSSY,
        Kernel.TEXT,
        "The value as PostgreSQL shows it; PostgreSQL itself does not read such text.",
        read_as=ReadAs.TEXT,
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(
        ("*",),
        G.STRING,
        Fidelity.TEXT,
        Kernel.TEXT,
        "The value as PostgreSQL writes it as text, and reads it back.",
        read_as=ReadAs.TEXT,
        facts=Facts.TEXT,
        high=MAX_STRING_BYTES,
    ),
    TypeRule(
        ("*",),
        G.BLOB,
        Fidelity.TEXT,
        Kernel.TEXT_BLOB,
        "The bytes in UTF-8 of the value as PostgreSQL writes it as text, of any length.",
        read_as=ReadAs.TEXT,
        use=Use.FALLBACK,
    ),
)
