"""Hostile documents from honest ones: one value that should not be there, a field too many, or one too few."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

STRANGER = "somebody_elses_slot"
HOSTILE: tuple[Any, ...] = (
    "true) OR (true",
    "device IN (SELECT secret FROM canary)",
    "canary",
    "secret",
    "pg_catalog",
    "reading_d1",
    "elsewhere",
    STRANGER,
    'x" PHYSICAL; DROP TABLE canary; --',
    "text[]) AS k, canary --",
    "\0",
    "\ud800",
    "",
    "x" * 100_000,
    -1,
    2**63,
    10**30,
    1.5,
    True,
    None,
    [],
    {},
    [[["nested"]]],
    "2024-01-01T00:00:00Z",
    "16/B374D848",
    "2024-13-45T99:00:00Z",
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    if at:
        yield at
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths(part, (*at, key))


def changed(document: Any, chance: random.Random) -> Any:
    """The document with one hostile value in it, a field too many, or one too few."""
    document = json.loads(json.dumps(document))
    path = chance.choice(list(paths(document)))
    place = document
    for key in path[:-1]:
        place = place[key]
    how = chance.random()
    if how < 0.1 and isinstance(place, dict):
        del place[path[-1]]
    elif how < 0.2 and isinstance(place, dict):
        place["strange"] = chance.choice(HOSTILE)
    else:
        place[path[-1]] = chance.choice(HOSTILE)
    return document
