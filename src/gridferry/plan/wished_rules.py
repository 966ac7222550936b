"""The part of the type table that the config asks for: another type, a scale, what becomes of values out of range."""

from __future__ import annotations

from gridferry.griddb.schema import GridType as G
from gridferry.griddb.wire.statement import MAX_STRING_BYTES
from gridferry.model.profile import Facts
from gridferry.plan.mapping import TypeRule, Use
from gridferry.plan.plan import Fidelity, Kernel, ReadAs
from gridferry.plan.unfit import MAX_DATE_US, MAX_TIME_US

_MAX_FLOAT = 3.4028234663852886e38
_TEXTS = ("text", "varchar")
_TIMES = ("timestamp", "timestamptz")

OUT_OF_RANGE_AND_SCALES: tuple[TypeRule, ...] = (
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
)
OTHER_TYPES: tuple[TypeRule, ...] = (
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
)
