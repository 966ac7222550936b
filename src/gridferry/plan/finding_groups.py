"""The findings of a plan, those of one kind together: forty tables without a key are one thing to know, not forty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gridferry.plan.plan import Finding, Plan, Severity

_NUMBER = re.compile(r"\d[\d,.]*(?: rows?\b)?")
_QUOTED = re.compile(r'"[^"]*"|`[^`]*`')
_LISTED = re.compile(r" \([^()]*\)|(?<=:) .*", re.DOTALL)  # names in parentheses, or behind a colon


@dataclass(frozen=True)
class FindingGroup:
    """Findings that say the same but for names and numbers. `first` is that of the first of `tables`, word by word."""

    severity: Severity
    first: Finding
    tables: tuple[str, ...]
    findings: int


def grouped(plan: Plan, severity: Severity) -> list[FindingGroup]:
    """The findings about tables, of one severity, those that concern most tables first."""
    groups: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for table, finding, kind in _told(plan):
        if finding.severity is severity:
            groups.setdefault(kind, []).append((table, finding))
    found = [
        FindingGroup(severity, told[0][1], tuple(dict.fromkeys(table for table, _ in told)), len(told))
        for told in groups.values()
    ]
    return sorted(found, key=lambda group: -len(group.tables))


def _told(plan: Plan) -> Iterator[tuple[str, Finding, tuple[str, str]]]:
    """Every finding with its table and its kind."""
    for table in plan.tables:
        for finding in table.findings:
            yield table.qualified, finding, _kind(table.qualified, table.table, finding)
    for unread in plan.unread:
        yield unread.table, unread.finding, _kind(unread.table, unread.table.partition(".")[2], unread.finding)


def _kind(qualified: str, table: str, finding: Finding) -> tuple[str, str]:
    """The message without what is this table's alone, and how the advice begins: the rest of it names columns."""
    own = [re.escape(name) for name in sorted({qualified, table, finding.subject} - {""}, key=len, reverse=True)]
    names = re.compile(rf"(?<!\w)(?:{'|'.join(own)})(?!\w)")
    message = _LISTED.sub("", _QUOTED.sub('""', names.sub("_", finding.message)))
    return _NUMBER.sub("#", message), " ".join(names.sub("_", finding.advice).split()[:2])
