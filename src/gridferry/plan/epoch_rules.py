"""The part of the type table for times that the source keeps as numbers."""

from __future__ import annotations

from gridferry.griddb.schema import GridType as G
from gridferry.model.profile import Facts
from gridferry.plan.mapping import TypeRule, Use
from gridferry.plan.plan import Fidelity, Kernel, ReadAs

_SORTS = (
    (("int2", "int4", "int8"), ReadAs.PLAIN, Facts.INTEGER, False),
    (("numeric",), ReadAs.TEXT, Facts.NUMERIC, False),
    (("float8",), ReadAs.PLAIN, Facts.FLOAT, True),
)
_TARGETS = ((G.TIMESTAMP_MS, "millisecond"), (G.TIMESTAMP_US, "microsecond"))
_EXACT = {
    False: "The time that the number counts to; digits below the {unit}, before 1970 and after 9999 are refused.",
    True: (
        "The {unit} that the number counts to, if it is the nearest double to it; another, before 1970, after 9999 "
        "and NaN are refused."
    ),
}
_CUT = {
    False: "The time that the number counts to, cut to the {unit}.",
    True: "The time that the number counts to, the nearest microsecond, cut to the {unit}.",
}
_USES = (
    (Use.EPOCH, Fidelity.WIDENED, Kernel.EPOCH, Kernel.EPOCH_DOUBLE, _EXACT),
    (Use.EPOCH_TRUNCATE, Fidelity.LOSSY, Kernel.EPOCH_TRUNCATE, Kernel.EPOCH_DOUBLE_TRUNCATE, _CUT),
    (
        Use.EPOCH_NULL,
        Fidelity.LOSSY,
        Kernel.EPOCH_NULL,
        Kernel.EPOCH_DOUBLE_NULL,
        dict.fromkeys((False, True), "As with `from` alone; what is out of range becomes NULL."),
    ),
    (
        Use.EPOCH_CLAMP,
        Fidelity.LOSSY,
        Kernel.EPOCH_CLAMP,
        Kernel.EPOCH_DOUBLE_CLAMP,
        dict.fromkeys((False, True), "As with `from` alone; what is out of range becomes the first or the last time."),
    ),
)

EPOCH_RULES: tuple[TypeRule, ...] = tuple(
    TypeRule(
        types,
        target,
        verdict,
        double if doubles else other,
        sentences[doubles].format(unit=unit),
        read_as=read_as,
        use=use,
        facts=facts,
        key=use in (Use.EPOCH, Use.EPOCH_TRUNCATE),
    )
    for use, verdict, other, double, sentences in _USES
    for types, read_as, facts, doubles in _SORTS
    for target, unit in _TARGETS
)
