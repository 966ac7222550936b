"""What is asked of a node's patience, in seconds: transactions, locks, results. Source: docs/protocol.md, Options.

One option of the wire holds all three: of a statement that begins a transaction, how long that may stay open; of any
statement, how long it waits for a lock; of a query, how long its result is kept.
"""

from __future__ import annotations

# A node does not end a transaction when its client is killed or its connection ends (seen on 5.9.0): what it changed is
# locked until its time is over. Ours hold a few small statements: this is long for them, even on a busy machine, and
# short for the run that comes after a killed one.
TRANSACTION_TIMEOUT_S = 8
# A node looks for transactions whose time is over this often.
CHECKED_EVERY_S = 3
# So long a write waits for somebody else's lock before the node refuses it. The client tells, and asks again: see
# `Cluster.wait_for_locks`.
LOCK_WAIT_S = 5
# So long a result is kept whose next page nobody fetches.
RESULT_TIMEOUT_S = 20
