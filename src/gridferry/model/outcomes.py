"""What became of a table: how a run of it ended, and how far its load and its sync are.

The values are what JSON documents, metrics and pages show.
"""

from __future__ import annotations

from gridferry.model.word import Word


class LoadOutcome(Word):
    """How a run of a load ended, or a part of one: preparing it, or one bucket."""

    LOADED = "loaded"
    RESUMED = "resumed"  # loaded, after an earlier run had begun it
    ALREADY_LOADED = "already loaded"  # by an earlier run: nothing was copied
    PLANNED = "planned"  # a dry run
    PREPARED = "prepared"  # ready to be shared
    NOTHING_LEFT = "nothing left"  # of a bucket: all of its chunks are stored


class LoadState(Word):
    """How far the load of a table is."""

    PLANNED = "planned"  # in the config, and in no load
    NOT_BEGUN = "not begun"  # the same, as a report says it
    LOADING = "loading"
    INTERRUPTED = "interrupted"  # it was begun, and nobody is at work
    REPLACING = "replacing"  # the containers of an earlier load are being dropped
    LOADED = "loaded"
    NOT_READABLE = "not readable"  # a report could not read it


class SyncOutcome(Word):
    """How a run of a sync ended."""

    SYNCED = "synced"
    NOTHING_NEW = "nothing new"
    STOPPED = "stopped"  # asked to stop before the end; the next run goes on from there
    FOLLOWING = "following"  # not yet over: how far a run is that follows
    FAILED = "failed"  # by a permanent failure
    TRY_LATER = "try later"  # by a temporary failure


class SyncState(Word):
    """How far the sync of a table is."""

    NOT_LOADED = "not loaded"
    NOT_FOLLOWED = "not followed"  # mode cdc, and it has no slot
    NOT_BEGUN = "not begun"
    IDLE = "idle"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    LOST = "lost"  # the slot is lost, or another's
