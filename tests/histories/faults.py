"""What can befall a run, and where: a fault of a seed is data, and the player brings it about."""

from __future__ import annotations

import random

from tests.histories.steps import Fault

# Where a run can be caught; the names are those of tests/e2e/dying_load.py.
POINTS = {
    "load": (
        "lease", "begin run", "document", "catalog add", "create containers", "put", "flush", "checkpoint", "loaded",
    ),
    "cdc": (
        "lease", "begin sync", "catalog add", "create containers", "put", "put", "put", "delete", "delete", "flush",
        "flush", "position", "position", "confirm", "confirm", "document", "replan",
    ),
    "watermark": ("lease", "catalog add", "create containers", "put", "put", "flush", "cursor", "cursor", "document"),
}  # fmt: skip
# Faults at a point, and how often each is taken.
AT_A_POINT = {"kill": 6, "crash target": 4, "crash source": 2, "overlap": 2, "freeze": 1}
ELSEWHERE = {
    "kill later": 3, "crash target at statement": 4, "cut": 4, "stall": 1, "split": 2, "own clock back": 1,
    "source clock back": 1,
}  # fmt: skip
FAULTS = (*AT_A_POINT, *ELSEWHERE)
NEEDS_OWN_TARGET = ("crash target", "crash target at statement")


def random_fault(r: random.Random, *, verb: str, mode: str) -> Fault:
    """A fault for a run."""
    chances = {**AT_A_POINT, **ELSEWHERE}
    if verb == "load":
        chances = {name: n for name, n in chances.items() if name not in ("overlap", "freeze", "source clock back")}
    if mode != "watermark":
        chances.pop("source clock back", None)
    name = r.choices(list(chances), list(chances.values()))[0]
    if name in AT_A_POINT:
        point = r.choice(POINTS["load" if verb == "load" else mode])
        call = r.choice((1, 1, 1, 2, 3))
        if name in ("overlap", "freeze"):  # only a run that has its lease keeps others away
            point = r.choice(("put", "flush", "position" if mode == "cdc" else "cursor"))
            call = 1
        return Fault(name, point, r.choice(("before", "after")), call)
    amounts = {
        "kill later": r.randrange(1, 200),
        "crash target at statement": r.randrange(1, 60),
        "cut": int(10 ** r.uniform(1.5, 4)),
        "stall": int(10 ** r.uniform(1.5, 3.7)),
        "split": r.choice((1, 2, 7)),
    }
    side = r.choice(("source", "target")) if name in ("cut", "stall", "split") else ""
    return Fault(name, amount=amounts.get(name, 0), side=side)
