"""Row keys of a batch: taken by place, numbered, matched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Positions = NDArray[np.int64]


NOWHERE = -1


@dataclass(frozen=True)
class Keys:
    """n row keys: `keys` (n,) holds the key columns of the container's schema, `split` the split values as they were
    read, None where the table is not split.
    """

    keys: pa.RecordBatch
    split: pa.Array | None

    def take(self, places: Positions) -> Keys:
        """Those at some places."""
        at = pa.array(places)
        return Keys(self.keys.take(at), None if self.split is None else self.split.take(at))


def key_codes(keys: Keys) -> Positions:
    """A number for each key (n,): equal for equal keys of one container, else different."""
    codes = np.zeros(len(keys.keys), np.int64)
    for column in [*keys.keys.columns, *([] if keys.split is None else [keys.split])]:
        storage = column.storage if isinstance(column, pa.ExtensionArray) else column
        found = storage.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)
        mixed = codes * (int(found.max(initial=0)) + 1) + found
        codes = np.unique(mixed, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return codes
