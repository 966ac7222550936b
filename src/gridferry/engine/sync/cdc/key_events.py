"""What a batch of changes does to each row key: events in order, the old key's before the new one's."""

from __future__ import annotations

import numpy as np

from gridferry.engine.rows.keys import NOWHERE, Keys, Positions


class KeyEvents:
    """What happens to keys: event i puts the new row `row[i]` under key i, or takes the old row `old[i]` away; the
    other of the two is below 0.

    `before` (m,): by new row, the event of the key that its row had before. `keyless`: rows without a key that can be
    stored. `roots`: by column, the new row that a row's value comes from. `sorted`: the events, those of one key next
    to each other in their order; `starts` is where each key's begin, `last` the last event of each.
    """

    def __init__(
        self,
        keys: Keys,
        row: Positions,
        old: Positions,
        before: Positions,
        keyless: Positions,
        codes: Positions,
        order: Positions,
    ) -> None:
        self.keys = keys
        self.row = row
        self.old = old
        self.keyless = keyless
        self.roots: dict[str, Positions] = {}
        self._before = before
        self.sorted = np.lexsort((order, codes))
        self._codes = codes[self.sorted]
        changes = self._codes[1:] != self._codes[:-1]
        self.starts = np.flatnonzero(np.append(True, changes)[: len(codes)])
        self.last = self.sorted[np.append(changes, True)[: len(codes)]]
        self._event = np.full(len(before), NOWHERE, np.int64)
        self._event[row[row >= 0]] = np.flatnonzero(row >= 0)

    def event_of(self, rows: Positions) -> Positions:
        """The events that put some rows."""
        return self._event[rows]

    def event_before(self, column: str, rows: Positions) -> Positions:
        """The events of the keys that the values of a column had before the first change of some rows."""
        return self._before[self.roots[column][rows]]

    def row_before(self, count: int) -> Positions:
        """By new row, the new row that was stored there before, of an earlier change; -1 where there was none."""
        places = np.arange(len(self.sorted))
        of_row = np.where(self.row[self.sorted] >= 0, places, NOWHERE)
        earlier = np.concatenate([[NOWHERE], np.maximum.accumulate(of_row)[:-1]])[: len(places)]
        same = (earlier >= 0) & (self._codes[earlier] == self._codes)
        by_event = np.full(len(places), NOWHERE, np.int64)
        by_event[self.sorted] = np.where(same, self.row[self.sorted[earlier]], NOWHERE)
        found = np.full(count, NOWHERE, np.int64)
        known = self._before >= 0
        found[known] = by_event[self._before[known]]
        return found
