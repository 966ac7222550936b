"""The verifications of a migration: what was asked for in full, or what the config asks for after a load or a sync."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from gridferry.engine.ownership.endpoints import Endpoints
from gridferry.engine.sync.modes import follower
from gridferry.engine.sync.settings import SyncSettings
from gridferry.engine.sync.syncs import followed
from gridferry.engine.verify.table import VerifySettings
from gridferry.engine.verify.tables import Comparison, required
from gridferry.errors import ConfigError
from gridferry.model.verification import Depth, DifferenceSink, VerifyReport
from gridferry.plan.config import VerifyWish
from gridferry.plan.table_options import TableOptions


class Verifications:
    """Verifications of loaded tables. Tables are named as in the config; where none is named, all."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def verify(
        self,
        tables: Sequence[str] = (),
        *,
        quick: bool = False,
        output: str | os.PathLike[str] | None = None,
        settle_s: float | None = None,
        sync: bool = False,
        most_differences: int = 10,
        sink: DifferenceSink | None = None,
    ) -> VerifyReport:
        """Compare both sides as of a snapshot of the source: every value, or with `quick` rows and bounds only.

        Args: output: a .parquet or .jsonl file for every difference; settle_s: how long to look again at rows that
            differ while the table is synced (default: a minute while someone syncs it, else not at all); sync: run
            bounded syncs meanwhile, where nobody else does; most_differences: how many each table of the report lists
            in full; sink: takes all of them, as whole rows.
        Raises: NotLoaded for a table that was not loaded; CheckpointError where columns changed; any FerryError. Of
            several tables those that can be compared are, before SomeTablesFailed names the others; its `done` is
            their VerifyReport.
        """
        settings = verify_settings(quick=quick, settle_s=settle_s, most_differences=most_differences)
        standing = self._endpoints.standing(tables, then="gridferry verify")
        comparison = comparison_between(self._endpoints, settings, sync=sync)
        file = None if output is None else Path(output)
        return required(comparison.run(standing.present, output=file, sink=sink, standing=standing))

    def verify_as_configured(
        self, tables: Sequence[str] = (), *, synced: bool = False, without: Collection[str] = ()
    ) -> VerifyReport | None:
        """What the config asks for after a load, or after a sync (`synced`): see `verify`. None: it asks for nothing.

        After a sync only the tables that are followed, and with syncs in between: the source may go on changing.
        Args: without: tables that are left out, as `schema.table`.
        """
        wish = self._endpoints.config.verify
        if wish is VerifyWish.OFF:
            return None
        standing = self._endpoints.standing(tables, then="gridferry verify")
        chosen = [options for options in standing.present if options.qualified not in without]
        if not chosen:
            return None
        settings = VerifySettings(depth=Depth.QUICK if wish is VerifyWish.QUICK else Depth.FULL)
        if synced:
            chosen = followed(chosen, named=bool(tables))
        return required(comparison_between(self._endpoints, settings, sync=synced).run(chosen, standing=standing))


def verify_settings(*, quick: bool = False, settle_s: float | None, most_differences: int) -> VerifySettings:
    """The settings, as asked. Raises: ConfigError for a number below 0."""
    if most_differences < 0 or (settle_s is not None and settle_s < 0):
        raise ConfigError("the time to settle and the number of differences must be 0 or more")
    return VerifySettings(Depth.QUICK if quick else Depth.FULL, settle_s, most_differences)


def comparison_between(ends: Endpoints, settings: VerifySettings, *, sync: bool) -> Comparison:
    """A comparison of both ends; with `sync` bounded syncs run meanwhile. Raises: GridDBError, SourceError."""
    state = ends.state

    def sync_one(options: TableOptions) -> None:
        if state.standings.get(options.qualified) is not None:  # somebody wants it to be left out
            return
        follower(ends.source, state, options, settings=SyncSettings(), listener=ends.tell).run()

    return Comparison(ends.source, state, settings, tell=ends.tell, sync=sync_one if sync else None)
