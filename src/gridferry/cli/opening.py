"""From options to an open migration or an open store. Everything heavy is imported here, when it is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.engine.events import Listener
    from gridferry.engine.migration import Migration
    from gridferry.griddb import GridDBAddress, Store

PASSWORD_VARIABLE = "GRIDDB_PASSWORD"  # noqa: S105 - the name of a variable, not a password


def open_migration(config: Path, *, listener: Listener | None = None) -> Migration:
    """The migration that a config file describes. Raises: ConfigError."""
    from gridferry.engine.events import ignore
    from gridferry.engine.migration import Migration
    from gridferry.plan.config import load_config

    return Migration(load_config(config), listener=listener or ignore)


def open_store(target: str | None, config: Path) -> Store:
    """The target database: the one given as a URL, else the config file's. Raises: ConfigError, GridDBError."""
    from gridferry.griddb import connect

    return connect(target_of_url(target) if target else target_of_config(config))


def target_of_url(url: str, *, password: str | None = None) -> GridDBAddress:
    """The address that `--target` names; without `password` the environment's is taken. Raises: ConfigError."""
    from gridferry.griddb import parse_address

    if parse_address(url).password:
        raise ConfigError(
            "the target address holds a password, which everybody on this machine can see in the list of processes",
            next_step=f"leave it out of the address and set {PASSWORD_VARIABLE}",
        )
    return parse_address(url, password=_password() if password is None else password)


def target_of_config(path: Path) -> GridDBAddress:
    """The target of a config file. Raises: ConfigError."""
    from gridferry.plan.config import load_config

    return load_config(path).target


def _password() -> str:
    try:
        return os.environ[PASSWORD_VARIABLE]
    except KeyError:
        raise ConfigError(
            "there is no password for GridDB", next_step=f"set {PASSWORD_VARIABLE} (a new GridDB has admin/admin)"
        ) from None
