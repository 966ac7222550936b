"""Tables of one config that hold the same rows: a parent, and a partition or an inheriting table of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from gridferry.model.table import Table
from gridferry.plan.plan import Finding, Severity

_NAMED = 5


def overlap_findings(tables: Sequence[Table]) -> Iterator[Finding]:
    """That rows of some tables come with another one too, for each of the others."""
    by_relation: dict[tuple[str, str], list[int]] = defaultdict(list)
    parts = [{(r.schema, r.name) for r in table.relations} for table in tables]
    for number, names in enumerate(parts):
        for name in names:
            by_relation[name].append(number)
    below: dict[int, set[int]] = defaultdict(set)
    for sharing in by_relation.values():
        for child in sharing:
            below[max(sharing, key=lambda number: len(parts[number]))].add(child)
    for parent, children in sorted(below.items()):
        named = sorted(tables[child].qualified for child in children - {parent})
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            whole = tables[parent].qualified
            rows = "its rows come" if len(named) == 1 else "their rows come"
            message = f"{', '.join(named[:_NAMED])}{more}: {rows} with {whole} too, and would be in GridDB twice"
            what = "it" if len(named) == 1 else "them"
            yield Finding(Severity.RISK, "config", message, f"take {what} out of the config, or {whole}")
