"""Which row keys the source had for a while: keys that came and went between two looks at the source.

No snapshot shows those rows, but the target may have held them meanwhile.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gridferry.plan.plan import TablePlan
from gridferry.source.postgres.log_window import LogWindow
from gridferry.transform.compiled import CompiledTransform, compile_columns
from gridferry.transform.split import split_codes
from gridferry.verify.digest import row_words


class BroughtKeys:
    """The keys that inserts and updates brought while a window of the log is open."""

    def __init__(self, window: LogWindow, plan: TablePlan) -> None:
        self._window = window
        self._split_by = plan.split_by
        steps = compile_columns(plan).steps[: plan.key_length]
        schema = plan.container_schema.key_schema.arrow_schema
        self._keys = CompiledTransform(plan.qualified, schema, steps)
        self._words: list[NDArray[np.uint64]] = []

    def among(self, keys: list[pa.Array], values: list[str | None]) -> NDArray[np.bool_]:
        """(n,): whether a key was brought until now; of a few that were not, by chance of a hash, it says so too.

        Args: keys: the row key's columns as they are stored; values (n,): the split value of each as text.
        Raises: SourceError.
        """
        for batch in self._window.changes():
            converted = self._keys.transform(batch.rows)
            of: list[str | None] = [None] * len(batch.rows)
            if self._split_by is not None:
                places, texts = split_codes(batch.rows.column(batch.rows.schema.get_field_index(self._split_by)))
                of = [texts[place] for place in places.tolist()]
            if converted.rows is not None:
                of = [of[place] for place in converted.rows.tolist()]
            self._words.append(self._hashed(converted.batch.columns, of))
        mine = self._hashed(keys, values)
        return np.isin(mine, np.concatenate(self._words)) if self._words else np.zeros(len(mine), bool)

    def _hashed(self, keys: list[pa.Array], values: list[str | None]) -> NDArray[np.uint64]:
        split = [] if self._split_by is None else [pa.array(values, pa.utf8())]
        return row_words([*split, *keys])
