"""From options to an open migration or an open store. Everything heavy is imported here, when it is needed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import Listener
    from gridferry.engine.migration import Migration
    from gridferry.griddb import GridDBAddress, Store
    from gridferry.griddb.sql import Connection
    from gridferry.plan.config import Config

_log = logging.getLogger(__name__)
PASSWORD_VARIABLE = "GRIDDB_PASSWORD"  # noqa: S105 - the name of a variable, not a password


def open_migration(
    config: Path, *, listener: Listener | None = None, with_target: bool = True, transactions_s: float | None = None
) -> Migration:
    """The migration that a config file describes; `with_target` False where it only looks at the source.

    `transactions_s`: how long a new replication slot may wait for open transactions; None: ten minutes.
    Raises: ConfigError; also if the target needs a password that nothing gives.
    """
    from gridferry.engine.events import ignore
    from gridferry.engine.migration import Migration
    from gridferry.plan.config import load_config
    from gridferry.source.postgres.session.blockers import DEFAULT_LIMIT_S

    loaded = load_config(config)
    warn_of(loaded)
    if with_target:
        require_password(loaded.target)
    limit = DEFAULT_LIMIT_S if transactions_s is None else transactions_s
    return Migration(loaded, listener=listener or ignore, transactions_s=limit)


def open_store(target: str | None, config: Path) -> Store:
    """The target database: the one given as a URL, else the config file's. Raises: ConfigError, GridDBError."""
    from gridferry.griddb import connect

    return connect(_target(target, config))


def open_sql(target: str | None, config: Path, *, timeout_s: float | None = None) -> Connection:
    """As `open_store`, for SQL. `timeout_s` holds for each statement. Raises: ConfigError, GridDBError."""
    from gridferry.griddb import sql

    return sql.connect(_target(target, config), timeout_s=timeout_s)


def _target(target: str | None, config: Path) -> GridDBAddress:
    from gridferry.plan.config import load_config

    if target:
        address = target_of_url(target)
    else:
        loaded = load_config(config)
        warn_of(loaded)
        address = loaded.target
    require_password(address)
    return address


def warn_of(config: Config) -> None:
    """Tell what a config file makes worth a warning."""
    for warning in config.warnings:
        _log.warning("%s", warning)


def target_of_url(url: str) -> GridDBAddress:
    """The address that `--target` names, with the password of the environment, if there is one. Raises: ConfigError."""
    from gridferry.griddb import parse_address

    if parse_address(url).password:
        raise ConfigError(
            "the target address holds a password, which everybody on this machine can see in the list of processes",
            next_step=f"leave it out of the address and set {PASSWORD_VARIABLE}",
        )
    return parse_address(url, password=os.environ.get(PASSWORD_VARIABLE, ""))


def require_password(address: GridDBAddress) -> None:
    """Return if there is one. A login without it would be refused, in words that do not say what is missing."""
    if not address.password:
        raise ConfigError(
            f"there is no password for {address}",
            next_step=f"set {PASSWORD_VARIABLE} (a new GridDB has admin/admin)",
        )
