"""The forms that stored texts and numbers have: written at the fields of records, asked of everything that is read.

Each is a type of its own, such as `Moment`: plain `str` or `int` for whoever computes with it, with the form beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

MOST_COUNT = (1 << 63) - 1
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{3}|\.\d{6})?(?:Z|\+00:00)")


@dataclass(frozen=True)
class TextForm:
    """Texts that `pattern` matches whole, of at most `most` characters; `what` they are, for messages."""

    what: str
    pattern: re.Pattern[str] | None = None
    most: int = 100_000

    def holds(self, text: str) -> bool:
        """Whether a text has the form."""
        return len(text) <= self.most and (self.pattern is None or self.pattern.fullmatch(text) is not None)


@dataclass(frozen=True)
class TimeForm(TextForm):
    """Times in UTC that the calendar has, or "" for none."""

    def holds(self, text: str) -> bool:
        """See `TextForm`."""
        found = _TIME.fullmatch(text) if len(text) <= self.most else None
        if found is None:
            return text == ""
        try:
            datetime.fromisoformat(found.group(1))
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class NumberForm:
    """Whole numbers from `least` to `most`."""

    what: str
    least: int = 0
    most: int = MOST_COUNT

    def holds(self, number: int) -> bool:
        """Whether a number has the form."""
        return self.least <= number <= self.most


_SLOT = re.compile(r"[a-z0-9_]{0,63}")
_LSN = re.compile(r"(?:[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})?")
_LOG_END = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")
_VISIBLE = re.compile(r"(?:[0-9]{1,20}:[0-9]{1,20}:(?:[0-9]{1,20}(?:,[0-9]{1,20})*)?)?")

Moment = Annotated[str, TimeForm("a time in UTC, ISO 8601", most=40)]
SlotName = Annotated[str, TextForm("the name of a replication slot", _SLOT)]
LsnText = Annotated[str, TextForm("a position in the log, as 16/B374D848", _LSN)]
LogEnd = Annotated[str, TextForm("a position in the log, as 16/B374D848", _LOG_END)]
SnapshotText = Annotated[str, TextForm("a snapshot, as 10:20:10,14", _VISIBLE, most=5_000_000)]
SnapshotName = Annotated[str, TextForm("the name of an exported snapshot", re.compile(r"[0-9A-Fa-f-]{0,64}"))]
RepairName = Annotated[str, TextForm("the name of a repair", re.compile(r"[0-9A-Za-z-]{1,64}"))]
Digits = Annotated[str, TextForm("a number, or nothing", re.compile(r"[0-9]{0,20}"))]
MarkText = Annotated[str, TextForm("a mark, or nothing", re.compile(r"(?:gridferry [0-9a-f]{32})?"))]
Name = Annotated[str, TextForm("a name", most=1000)]
ColumnName = Annotated[str, TextForm("the name of a column", most=63)]
OptionsText = Annotated[str, TextForm("the options of a table, as JSON", most=5_000_000)]
Sentence = Annotated[str, TextForm("a text", most=10_000)]
ColumnValue = Annotated[str, TextForm("a time or a number", re.compile(r"[0-9A-Za-z +:.,_-]{1,1000}"))]
Count = Annotated[int, NumberForm("a count")]
ProcessId = Annotated[int, NumberForm("the number of a process", least=1, most=(1 << 31) - 1)]
Oid = Annotated[int, NumberForm("an OID", most=(1 << 32) - 1)]
TransactionId = Annotated[int, NumberForm("a transaction id")]
