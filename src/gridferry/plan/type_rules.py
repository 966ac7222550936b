"""The type table. A new type is a new row here, with samples in `tests/type_samples.py`; nothing else changes.

Rows of one type are tried from the top. Rows for "*" come last: a type without a row of its own is stored as its text.
"""

from __future__ import annotations

from gridferry.griddb.schema import GridType as G
from gridferry.griddb.wire.statement import MAX_STRING_BYTES
from gridferry.model.profile import Facts
from gridferry.model.table import PgType
from gridferry.plan.mapping import Condition, TypeRule, Use
from gridferry.plan.plan import Fidelity, Kernel, ReadAs
from gridferry.plan.unfit import MAX_DATE_US, MAX_TIME_US

# Source: IEEE 754: decimals of up to 15 significant digits survive text -> double -> text.
_DOUBLE_DIGITS = 15
_EXACT_POWER = 22  # 10**22 is the greatest power of ten that a double holds exactly
_LONG_DIGITS = 18
_MAX_FLOAT = 3.4028234663852886e38


def _whole(pg_type: PgType) -> bool:
    if pg_type.precision is None or pg_type.scale is None:
        return False
    return pg_type.scale <= 0 and pg_type.precision - pg_type.scale <= _LONG_DIGITS


def _short(pg_type: PgType) -> bool:
    scale = pg_type.scale or 0
    return (
        pg_type.precision is not None and pg_type.precision - min(scale, 0) <= _DOUBLE_DIGITS and scale <= _EXACT_POWER
    )


def _declared(pg_type: PgType) -> bool:
    return pg_type.precision is not None


def _wide(pg_type: PgType) -> bool:
    return not _whole(pg_type) and not _short(pg_type)


def _integral(pg_type: PgType) -> bool:
    return _wide(pg_type) and pg_type.precision is not None and (pg_type.scale or 0) <= 0


_WIDE = Condition(f"p > {_DOUBLE_DIGITS}, or none", lambda pg_type: _wide(pg_type) and not _integral(pg_type))
_INTEGRAL = Condition(f"p > {_LONG_DIGITS}, no fraction", _integral)
_WHOLE = Condition(f"p <= {_LONG_DIGITS}, no fraction", _whole)
_SHORT = Condition(f"p <= {_DOUBLE_DIGITS}, s <= {_EXACT_POWER}", _short)
_DECLARED = Condition("with a precision", _declared)

_TEXTS = ("text", "varchar")
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
_TIMES = ("timestamp", "timestamptz")
_INFINITIES = "infinity is the greatest LONG, -infinity the least"

TYPE_RULES: tuple[TypeRule, ...] = (
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
        when=_WHOLE,
        facts=Facts.NUMERIC,
    ),
    TypeRule(
        ("numeric",),
        G.DOUBLE,
        Fidelity.WIDENED,
        Kernel.DECIMAL_DOUBLE,
        "The nearest double; rounding it to the declared scale gives the value back. NaN stays NaN.",
        read_as=ReadAs.TEXT,
        when=_SHORT,
    ),
    TypeRule(
        ("numeric",),
        G.STRING,
        Fidelity.TEXT,
        Kernel.TEXT,
        "The digits as PostgreSQL shows them, none lost; GridDB does not compare or add them as numbers.",
        read_as=ReadAs.TEXT,
        when=_DECLARED,
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
        when=_INTEGRAL,
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
        when=_WIDE,
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
        when=_WIDE,
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
    # Where the config says what to do with values out of range, or asks for a scale.
    TypeRule(
        ("numeric",),
        G.LONG,
        Fidelity.WIDENED,
        Kernel.DECIMAL_SCALED,
        "The number times 10 to the power of the scale, as a 64-bit integer; more digits, and NaN, are refused.",
        read_as=ReadAs.TEXT,
        use=Use.SCALED,
        facts=Facts.NUMERIC,
    ),
    *(
        TypeRule(types, target, Fidelity.LOSSY, kernel, rule, use=use, facts=facts, low=low, high=high, key=False)
        for types, target, facts, low, high, kernels in (
            (_TIMES, G.TIMESTAMP_US, Facts.TIME, 0, MAX_TIME_US, (Kernel.TIME_US_NULL, Kernel.TIME_US_CLAMP)),
            (_TIMES, G.TIMESTAMP_MS, Facts.TIME, 0, MAX_TIME_US, (Kernel.TIME_MS_NULL, Kernel.TIME_MS_CLAMP)),
            (("date",), G.TIMESTAMP_MS, Facts.DATE, 0, MAX_DATE_US, (Kernel.DATE_MS_NULL, Kernel.DATE_MS_CLAMP)),
            (
                (*_TEXTS, "bpchar"),
                G.STRING,
                Facts.TEXT,
                None,
                MAX_STRING_BYTES,
                (Kernel.TEXT_NULL, Kernel.TEXT_CLAMP),
            ),
        )
        for use, kernel, rule in (
            (Use.NULL, kernels[0], "As without a word; what is out of range becomes NULL."),
            (
                Use.CLAMP,
                kernels[1],
                f"As without a word; of a longer text the first {MAX_STRING_BYTES} bytes."
                if target is G.STRING
                else "As without a word; what is out of range becomes the first or the last time of GridDB.",
            ),
        )
    ),
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
    # On demand, every value kept.
    TypeRule(
        ("int2", "int4"), G.LONG, Fidelity.WIDENED, Kernel.NUMBER, "The same number in 64 bits.", use=Use.OVERRIDE
    ),
    TypeRule(
        ("int2", "int4"), G.DOUBLE, Fidelity.WIDENED, Kernel.NUMBER, "The same number as a double.", use=Use.OVERRIDE
    ),
    TypeRule(("int2",), G.FLOAT, Fidelity.WIDENED, Kernel.NUMBER, "The same number as a float.", use=Use.OVERRIDE),
    TypeRule(("float4",), G.DOUBLE, Fidelity.WIDENED, Kernel.NUMBER, "The same number as a double.", use=Use.OVERRIDE),
    TypeRule(
        ("int2", "int4", "int8"),
        G.BYTE,
        Fidelity.WIDENED,
        Kernel.NUMBER,
        "The same number in 8 bits; one outside -128 to 127 is refused.",
        use=Use.OVERRIDE,
        facts=Facts.INTEGER,
        low=-(2**7),
        high=2**7 - 1,
    ),
    TypeRule(
        ("int4", "int8"),
        G.SHORT,
        Fidelity.WIDENED,
        Kernel.NUMBER,
        "The same number in 16 bits; one outside -32768 to 32767 is refused.",
        use=Use.OVERRIDE,
        facts=Facts.INTEGER,
        low=-(2**15),
        high=2**15 - 1,
    ),
    TypeRule(
        ("int8",),
        G.INTEGER,
        Fidelity.WIDENED,
        Kernel.NUMBER,
        "The same number in 32 bits; one that needs more is refused.",
        use=Use.OVERRIDE,
        facts=Facts.INTEGER,
        low=-(2**31),
        high=2**31 - 1,
    ),
    TypeRule(
        ("numeric",),
        G.LONG,
        Fidelity.WIDENED,
        Kernel.DECIMAL_LONG,
        "The whole number as a 64-bit integer; a fraction, NaN, infinity or more than 64 bits is refused.",
        read_as=ReadAs.TEXT,
        use=Use.OVERRIDE,
        facts=Facts.NUMERIC,
        low=-(2**63),
        high=2**63 - 1,
    ),
    TypeRule(
        _TIMES,
        G.TIMESTAMP_MS,
        Fidelity.EXACT,
        Kernel.TIME_MS,
        "The time to the millisecond; one with finer digits is refused.",
        use=Use.OVERRIDE,
        facts=Facts.TIME,
        low=0,
        high=MAX_TIME_US,
    ),
    TypeRule(
        (*_TEXTS, "bpchar", "name"),
        G.BLOB,
        Fidelity.WIDENED,
        Kernel.TEXT_BLOB,
        "The bytes of the text in UTF-8, of any length.",
        use=Use.FALLBACK,
    ),
    # On demand, something lost.
    TypeRule(("int8",), G.DOUBLE, Fidelity.LOSSY, Kernel.NUMBER_LOSSY, "The nearest double.", use=Use.OVERRIDE),
    TypeRule(("int4",), G.FLOAT, Fidelity.LOSSY, Kernel.NUMBER_LOSSY, "The nearest float.", use=Use.OVERRIDE),
    TypeRule(
        ("float8",),
        G.FLOAT,
        Fidelity.LOSSY,
        Kernel.NUMBER_LOSSY,
        "The nearest float; one too large for it is refused.",
        use=Use.OVERRIDE,
        facts=Facts.FLOAT,
        low=-_MAX_FLOAT,
        high=_MAX_FLOAT,
    ),
    TypeRule(
        ("numeric",),
        G.DOUBLE,
        Fidelity.LOSSY,
        Kernel.DECIMAL_DOUBLE_LOSSY,
        "The nearest double; one too large for it is refused.",
        read_as=ReadAs.TEXT,
        use=Use.OVERRIDE,
        facts=Facts.NUMERIC,
    ),
    TypeRule(
        _TIMES,
        G.TIMESTAMP_MS,
        Fidelity.LOSSY,
        Kernel.TIME_MS_TRUNCATE,
        "The time cut to the millisecond.",
        use=Use.TRUNCATE,
        facts=Facts.TIME,
        low=0,
        high=MAX_TIME_US,
    ),
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
