"""Session ids: one counter for transactions and for definitions (containers, indexes), which open a session too.

The id and the client's UUID together name a session in a whole worker group of the server. Two requests under way with
the same name in two partitions are no error of the request to it but of the node: 5.9.0 answers 110031 and shuts down.
"""

from __future__ import annotations

import itertools

_ids = itertools.count(1)


def fresh_session_id() -> int:
    """An id that this process has not used before."""
    return next(_ids)
