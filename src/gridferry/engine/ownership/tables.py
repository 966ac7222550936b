"""The tables of a config: what its patterns mean in the source of now, and in what was loaded of it.

The source is asked once, when a pattern has to be filled in first. A config without patterns asks nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from gridferry import numbers
from gridferry.checkpoint.runs import RunStore
from gridferry.checkpoint.standings import Standing, StandingKind
from gridferry.checkpoint.state import TargetState
from gridferry.engine.events import Level, Listener, Note
from gridferry.engine.ownership.origin_check import not_loaded
from gridferry.errors import ConfigError, GridDBError, NotLoaded, SourceError
from gridferry.model.table import TableName
from gridferry.plan.config import Config
from gridferry.plan.table_options import TableOptions
from gridferry.plan.table_patterns import listed, meant_tables


@dataclass(frozen=True)
class ChosenTables:
    """Tables to work on, and those that are `new`: a pattern means them, and they are not loaded yet.

    `standings` are of those that somebody wants to be left out, by table; `named`: the user has named the tables, and
    `unasked` are the others of the config.
    """

    tables: tuple[TableOptions, ...]
    new: tuple[TableOptions, ...] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)
    named: bool = False
    unasked: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[TableOptions, ...]:
        """Those of `tables` that nobody wants to be left out; all of them where they were named."""
        return self.tables if self.named else tuple(o for o in self.tables if o.qualified not in self.standings)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Of each table that is left out for a while: that it is, a sentence."""
        found = (self.standings.get(options.qualified) for options in self.tables)
        return tuple(f"{s.table} {s.said}" for s in found if s is not None and s.kind is not StandingKind.REMOVED)

    @property
    def removed(self) -> tuple[str, ...]:
        """The names of those that are not followed any more, by somebody's wish."""
        return tuple(
            options.qualified
            for options in self.tables
            if (standing := self.standings.get(options.qualified)) is not None and standing.kind is StandingKind.REMOVED
        )


class TablesOfConfig:
    """The tables that a config means. Safe for use by several threads.

    Args: ask: the names of the source's tables; look: the state, to look at, with or without the source's word on whose
        it is.
    """

    def __init__(
        self,
        config: Config,
        *,
        ask: Callable[[], Sequence[TableName]],
        look: Callable[[bool], TargetState],
        tell: Listener,
    ) -> None:
        self._config = config
        self._ask = ask
        self._look = look
        self._tell = tell
        self._lock = threading.Lock()
        self._names: tuple[TableName, ...] | None = None
        self._told: set[tuple[str, str]] = set()
        self._known: Config | None = None

    def chosen(self, names: Sequence[str] = ()) -> tuple[TableOptions, ...]:
        """The tables by their names, all without names, of those that the source has.

        Raises: ConfigError for one that is not in the config, and for patterns that mean none; SourceError.
        """
        return self._meaning().chosen(names)

    def standing(
        self, state: TargetState, names: Sequence[str] = (), *, then: str, takes_new: bool = False
    ) -> ChosenTables:
        """The same for work on loaded tables: also those that the source has no more. Tells of these and of new ones.

        Args: then: the command that is to be run, once something is loaded; takes_new: the caller loads what is new.
        Raises: NotLoaded where patterns mean tables and none of all is loaded; GridDBError; as `chosen`.
        """
        standings = state.standings.all()
        loaded = loaded_tables(state.runs) if self._config.patterns or not names else []
        if not names:
            self._tell_strays(self._strays(loaded, standings))
        if not self._config.patterns:
            return self._of_named(self._config, names, standings)
        self._tell_gone(loaded)
        meaning = self._meaning(loaded)
        chosen = meaning.chosen(names)
        if names:
            return self._of_named(meaning, names, standings)
        new = tuple(options for options in self.unloaded(chosen, loaded) if options.qualified not in standings)
        if new and not takes_new and len(new) == len(chosen):
            error = not_loaded(state, new[0], left="nothing was changed", then=then)
            none = f"none of {numbers.plural(len(new), 'table')} is loaded: " if len(new) > 1 else ""
            raise NotLoaded(none + error.message, state=error.state, next_step=error.next_step)
        if not takes_new:
            self._tell_new(new)
        fresh = {options.full_name for options in new}
        return ChosenTables(
            tuple(options for options in chosen if options.full_name not in fresh), new, standings=standings
        )

    def _of_named(self, config: Config, names: Sequence[str], standings: Mapping[str, Standing]) -> ChosenTables:
        """Those of these names, all of a config without patterns where there are none; and who is left."""
        chosen = config.chosen(names)
        mine = {options.full_name for options in chosen}
        unasked = tuple(options.qualified for options in config.tables if options.full_name not in mine)
        return ChosenTables(chosen, standings=standings, named=bool(names), unasked=unasked)

    def known(self, names: Sequence[str] = (), *, ask_source: bool = True) -> tuple[TableOptions, ...]:
        """The same for who only looks or cleans up: where one end is away, the tables that the other knows.

        Raises: ConfigError for one that is not in the config; SourceError where both are away.
        """
        if not self._config.patterns:
            return self._config.chosen(names)
        if names and self._known is not None:  # a page that goes through its tables
            with suppress(ConfigError):
                return self._known.chosen(names)
        self._known = self._config.with_tables(self.of(self._known_names(ask_source)))
        return self._known.chosen(names)

    def unloaded(self, chosen: Sequence[TableOptions], loaded: Iterable[TableName]) -> tuple[TableOptions, ...]:
        """Those that a pattern means and of which no load has begun."""
        known = {*loaded, *(options.full_name for options in self._config.tables)}
        return tuple(options for options in chosen if options.full_name not in known)

    def strays(self, state: TargetState) -> list[str]:
        """Loaded tables that the config does not mean any more, and that were not removed; by name."""
        return self._strays(loaded_tables(state.runs), state.standings.all())

    def _strays(self, loaded: Sequence[TableName], standings: Mapping[str, Standing]) -> list[str]:
        named = {options.full_name for options in self._config.tables}
        removed = {table for table, each in standings.items() if each.kind is StandingKind.REMOVED}
        return [
            str(table)
            for table in loaded
            if table not in named
            and str(table) not in removed
            and not any(pattern.takes(table) for pattern in self._config.patterns)
        ]

    def tell_gone(self, state: TargetState) -> None:
        """Tell of loaded tables that patterns mean and that the source has no more. Raises: as `chosen`."""
        if self._config.patterns:
            self._tell_gone(loaded_tables(state.runs))

    def of(self, names: Iterable[TableName]) -> tuple[TableOptions, ...]:
        """The tables of the config, if those of `names` were all that there are."""
        return meant_tables(self._config.tables, self._config.patterns, dict.fromkeys(names)).tables

    def ask_again(self) -> None:
        """Ask the source again when a pattern has to be filled in next. For runs without end."""
        with self._lock:
            self._names = self._known = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth telling of the patterns, though it stops nothing. Raises: as `chosen`."""
        return self._meaning().warnings[len(self._config.warnings) :]

    def _meaning(self, also: Sequence[TableName] = ()) -> Config:
        if not self._config.patterns:
            return self._config
        meaning = self._config.meaning(dict.fromkeys((*self._source_names(), *also)))
        self._tell_once([("", warning) for warning in meaning.warnings[len(self._config.warnings) :]])
        return meaning

    def _source_names(self) -> tuple[TableName, ...]:
        with self._lock:
            if self._names is None:
                self._names = tuple(self._ask())
            return self._names

    def _known_names(self, ask_source: bool) -> list[TableName]:
        away: SourceError | None = None
        found: list[TableName] = []
        try:
            found += self._source_names() if ask_source else ()
        except SourceError as error:
            away = error
        try:
            found += loaded_tables(self._look(ask_source and away is None).runs)
        except GridDBError:  # who needs the target says so by itself
            if away is not None:
                raise away from None
        return found

    def _tell_new(self, new: Sequence[TableOptions]) -> None:
        are = "table is new and not loaded" if len(new) == 1 else "tables are new and not loaded"
        self._tell_once([(o.qualified, f"{{}} {are}: {{}}; `gridferry load` takes what is new") for o in new])

    def _tell_strays(self, strays: Sequence[str]) -> None:
        are = "loaded table is" if len(strays) == 1 else "loaded tables are"
        way = (
            "not followed, and in mode cdc the source keeps log; `gridferry remove TABLE` lets that go, `gridferry "
            "forget TABLE` forgets the table too"
        )
        self._tell_once([(table, f"{{}} {are} in the config no more: {{}}; {way}") for table in strays])

    def _tell_gone(self, loaded: Sequence[TableName]) -> None:
        there = {*self._source_names(), *(options.full_name for options in self._config.tables)}
        gone = [table for table in loaded if table not in there and any(p.takes(table) for p in self._config.patterns)]
        are = "loaded table is" if len(gone) == 1 else "loaded tables are"
        way = (
            "what was loaded of it stays in GridDB; `gridferry forget TABLE` ends following it and forgets it, and "
            "`except` in the config takes it out"
        )
        self._tell_once([(str(table), f"{{}} {are} in the source no more: {{}}; {way}") for table in gone])

    def _tell_once(self, what: Sequence[tuple[str, str]]) -> None:
        """One warning for all tables of which the same is to be told, and was not yet."""
        with self._lock:
            fresh = [each for each in what if each not in self._told]
            self._told.update(fresh)
        by_text: dict[str, list[str]] = {}
        for table, text in fresh:
            by_text.setdefault(text, []).append(table)
        for text, tables in by_text.items():
            said = text.format(numbers.count(len(tables)), listed(tables)) if tables != [""] else text
            self._tell(Note("config", said, Level.WARNING))


def loaded_tables(runs: RunStore) -> list[TableName]:
    """The tables of which a load has begun, finished or not."""
    # What is not readable has its name only, in which a dot may belong to either part.
    return [TableName(*(place or _parted(table))) for table, place in runs.places().items()]


def _parted(name: str) -> tuple[str, str]:
    schema, _, table = name.partition(".")
    return schema, table
