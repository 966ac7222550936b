"""Which migration of a target a config means: by its `name`, or else by the database that its source is.

It is found out when something is first asked of the target, not before: a run without end may begin while the source
is away. docs/adr/0020 has the rules.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from gridferry.checkpoint.documents import DocumentStore
from gridferry.checkpoint.registry import Registry, keys_of
from gridferry.checkpoint.runs import RunStore
from gridferry.engine.ownership.tables import loaded_tables
from gridferry.errors import ConfigError, OtherSource, SourceError
from gridferry.griddb import Store
from gridferry.model.migration import DatabaseOrigin, MigrationEntry
from gridferry.model.table import TableName
from gridferry.plan.names import container_name, naming_template
from gridferry.plan.stored import plan_of_today
from gridferry.plan.table_options import TableOptions

_NOBODY = "none"  # no key: hexadecimal digits only


class MigrationIdentity:
    """The migration that a config means. Safe for use by several threads.

    `name` is the config's, `tables` says which tables it has of those that are known; `origin` asks the source, whose
    host and port are `place`.
    """

    def __init__(
        self,
        store: Store,
        *,
        name: str,
        tables: Callable[[Iterable[TableName]], Sequence[TableOptions]],
        origin: Callable[[], DatabaseOrigin],
        place: str = "",
    ) -> None:
        self._documents = DocumentStore(store)
        self._registry = Registry(self._documents)
        self._name = name
        self._tables = tables
        self._origin = origin
        self._place = place
        self._lock = threading.Lock()
        self._found: MigrationEntry | None = None
        self._looked_up: MigrationEntry | None = None
        self.notes: tuple[str, ...] = ()  # what is to be reported where a command only looks

    def entry(self) -> MigrationEntry:
        """The migration, to read and write by; one that would be entered, where the target does not know it yet.

        Raises: OtherSource if it is of another database than the source is now; SourceError; GridDBError.
        """
        with self._lock:
            if self._found is None:
                origin = self._origin()
                found = self._find(origin)
                if found is not None and found.origin == self._by_place(origin) != origin:
                    found = self._registry.rebase(found.key, origin)
                if found is not None:
                    require_origin(found, origin)
                self._found = found or self._registry.proposed(self._name, origin)
            return self._found

    def to_take_over(self) -> MigrationEntry:
        """The migration that the config's source may get, whatever database it is of: that of the config's name, else
        that of this origin, else the only one that has tables of the config.

        Raises: ConfigError where several have; SourceError; GridDBError.
        """
        with self._lock:
            self._found = self._looked_up = None  # it may be of another database after this
            origin = self._origin()
            found = self._find(origin)
            if found is not None:
                return found
            having = [] if self._name else [e for e in self._registry.all() if not e.name and self._holds(e, all)]
            having = having or ([] if self._name else [e for e in self._registry.all() if self._holds(e, any)])
            if len(having) > 1:
                raise ConfigError(
                    f"{len(having)} migrations of this target have these tables: {'; '.join(map(str, having))}",
                    state="nothing was changed",
                    next_step="write the `name` of the one that is meant into the config; if none of them has a name, "
                    "give the address of the source that the tables are from",
                )
            return having[0] if having else self._registry.proposed(self._name, origin)

    def looked_up(self, *, ask_source: bool = True, without_source: bool = True) -> MigrationEntry:
        """The migration, to look at. Where the source is away it is the one that has the config's tables.

        `notes` then say so, and of another database behind the config's address too. What was found without the source
        is not kept: the next call asks again. Args: without_source: False where nothing can be done without it.
        Raises: ConfigError where several have them; GridDBError; SourceError, if not `without_source`.
        """
        with self._lock:
            if self._found is not None:
                return self._found
            if self._looked_up is None:
                why = "the source was not asked"
                try:
                    origin = self._origin() if ask_source else None
                except SourceError as error:
                    if not without_source:
                        raise
                    origin, why = None, f"the source was not reached ({error.message})"
                if origin is None:
                    return self._without_source(why)
                self._looked_up = self._of_origin(origin)
            return self._looked_up

    def _of_origin(self, origin: DatabaseOrigin) -> MigrationEntry:
        found = self._find(origin)
        known = found is None or found.origin in (origin, self._by_place(origin))
        self.notes = () if found is None or known else (other_origin(found, origin),)
        return found or self._registry.proposed(self._name, origin)

    def _find(self, origin: DatabaseOrigin) -> MigrationEntry | None:
        """The migration of this database: also one that was entered by its address, while the role could not ask for
        the server's identifier. That its tables are from this source is compared table by table (`lineage`).
        """
        found = self._registry.find(self._name, origin)
        if found is not None and found.origin == origin:
            return found
        earlier = self._registry.find(self._name, self._by_place(origin))
        return earlier if earlier is not None and earlier.origin == self._by_place(origin) else found

    def _by_place(self, origin: DatabaseOrigin) -> DatabaseOrigin:
        return replace(origin, system=self._place) if self._place else origin

    def _without_source(self, why: str) -> MigrationEntry:
        if self._name:
            nowhere = DatabaseOrigin("", 0)
            return self._registry.find(self._name, None) or MigrationEntry(
                next(keys_of(self._name, nowhere)), self._name, nowhere
            )
        holding = [entry for entry in self._registry.all() if self._holds(entry)]
        if len(holding) > 1:
            raise ConfigError(
                f"{why}, and {len(holding)} migrations of this target have these tables in containers of these names: "
                + "; ".join(map(str, holding)),
                state="nothing was changed",
                next_step="run it again once the source answers",
            )
        if not holding:
            self.notes = ()
            return MigrationEntry(_NOBODY, "", DatabaseOrigin("", 0))
        self.notes = (f"{why}: this is {holding[0]}, the only one here that has these tables",)
        return holding[0]

    def _holds(self, entry: MigrationEntry, how: Callable[[Iterable[bool]], bool] = all) -> bool:
        """Whether a migration has all (or any) tables of the config, in the containers that the config names."""
        runs = RunStore(self._documents.of(lambda: entry.key))

        def has(options: TableOptions) -> bool:
            run = runs.get(f"{options.schema_name}.{options.table_name}")
            if run is None or run.plan is None:
                return False
            naming = naming_template(
                options.container, schema=options.schema_name, table=options.table_name, split_by=options.split_by
            )
            today = plan_of_today(run.plan, options)
            return run.plan.naming == naming and all(c.name == container_name(today, c.value) for c in today.containers)

        tables = self._tables(loaded_tables(runs))
        return bool(tables) and how(has(options) for options in tables)


def require_origin(entry: MigrationEntry, origin: DatabaseOrigin) -> None:
    """Return if a migration is of this database. Raises: OtherSource."""
    if entry.origin != origin:
        raise OtherSource(
            other_origin(entry, origin),
            state="nothing was read or changed",
            next_step="give the address of the database that it was loaded from; if this source took the other's "
            "place, run `gridferry sync --new-source`: it compares everything, repairs what differs, and goes on from "
            "there; for a second source, give the config another `name` and other container names",
        )


def other_origin(entry: MigrationEntry, origin: DatabaseOrigin) -> str:
    """What is to be said where the source is another database than a migration's."""
    return f"{replace(entry, created_at='')} is in this target, but the config's source is {origin}"
