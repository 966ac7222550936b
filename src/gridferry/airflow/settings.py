"""From an operator's `config` to gridferry's own: a file or a dict, its addresses perhaps those of connections."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridferry.airflow.connections import griddb_address, postgres_address
from gridferry.errors import ConfigError

if TYPE_CHECKING:
    from gridferry.airflow.compat import Connection
    from gridferry.plan.config import Config
    from gridferry.plan.table_options import TableOptions
    from gridferry.plan.table_patterns import TablePattern

POSTGRES_DEFAULT = "postgres_default"
GRIDDB_DEFAULT = "griddb_default"
_KEY = "airflow_conn_id"
_SOMEWHERE = {"source": "host=unknown", "target": "griddb://unknown/unknown"}

# MySQL takes 64 kB, of text that Airflow makes a third longer by encrypting it.
_MOST_KEPT = 32_000

# A path, or the same document as a dict.
ConfigLike = str | os.PathLike[str] | Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """What an operator was given: its config, and the connections in place of the config's addresses."""

    config: ConfigLike
    postgres_conn_id: str | None = None
    griddb_conn_id: str | None = None

    @property
    def source_connection(self) -> str | None:
        """The connection that is the source; None where the config names an address itself."""
        return _connection(self.document(), "source", given=self.postgres_conn_id, default=POSTGRES_DEFAULT)

    @property
    def target_connection(self) -> str | None:
        """The connection that is the target; None where the config names an address itself."""
        return _connection(self.document(), "target", given=self.griddb_conn_id, default=GRIDDB_DEFAULT)

    def document(self) -> dict[str, Any]:
        """The config as it is written. Raises: ConfigError."""
        return read_document(self.config)

    def for_trigger(self) -> ConfigLike:
        """The config as a trigger is given it: the document, as the file need not be where the triggerer runs.

        A bundle of DAG files is on the workers, under a path that changes with its version. Of a document that is
        large or holds a password it is the path all the same: Airflow keeps what a trigger is given in its database.
        Raises: ConfigError.
        """
        document = self.document()
        try:
            require_no_password(document)
        except ConfigError:
            return self.config
        return document if len(json.dumps(document, default=str)) <= _MOST_KEPT else self.config

    def tables(self) -> tuple[TableOptions, ...]:
        """The tables and their options; looks at no address and no server. Raises: ConfigError for every mistake."""
        return _parsed({**self.document(), **_SOMEWHERE}, self.config).tables

    def patterns(self) -> tuple[TablePattern, ...]:
        """The entries that mean many tables, which only the source knows. Raises: as `tables`."""
        return _parsed({**self.document(), **_SOMEWHERE}, self.config).patterns

    def resolve(self, connection: Callable[[str], Connection]) -> Config:
        """The whole config, with the addresses of `connection` (by id). Raises: ConfigError."""
        document = self.document()
        source, target = self.source_connection, self.target_connection
        asked = {
            **document,
            **({"source": _SOMEWHERE["source"]} if source else {}),
            **({"target": _SOMEWHERE["target"]} if target else {}),
        }
        config = _parsed(asked, self.config)
        if source:
            config = replace(config, source=postgres_address(connection(source)))
        if target:
            config = replace(config, target=griddb_address(connection(target)))
        return config


def read_document(config: ConfigLike) -> dict[str, Any]:
    """The document of a config. Raises: ConfigError if it cannot be read, or is no document."""
    from gridferry.plan.small_files import Unreadable, read_small, reason
    from gridferry.plan.yaml_text import MOST_BYTES, parse_yaml

    config = plain_config(config)
    if not isinstance(config, str):
        return dict(config)
    try:
        text = read_small(config, most=MOST_BYTES).text
    except OSError as error:
        raise ConfigError(
            f"{config} cannot be read: {reason(error)}",
            next_step="give its path, absolute or beside the DAG file; `gridferry init DSN` writes such a file",
        ) from None
    except Unreadable as error:
        raise ConfigError(f"{config} is not a config: {error}", next_step="give a file of UTF-8 text") from None
    document = parse_yaml(text, name=config)
    if not isinstance(document, dict):
        raise ConfigError(f"{config} is no config: expected source, target and tables")
    return document


def plain_config(config: ConfigLike) -> str | Mapping[str, Any]:
    """`config` as operators keep it: Airflow writes fields down, and knows no paths. Raises: ConfigError."""
    if isinstance(config, os.PathLike):
        return os.fspath(config)
    if not isinstance(config, str | Mapping):
        raise ConfigError(
            f"the config is a {type(config).__name__}, neither a path nor a dict",
            next_step="give the path of gridferry.yaml, absolute or beside the DAG file, or its content as a dict",
        )
    return config


def found_beside(config: ConfigLike, dag_file: str | None) -> str | Mapping[str, Any]:
    """`config` with a relative path made one beside the DAG file, if it is there. Raises: ConfigError."""
    config = plain_config(config)
    if isinstance(config, str) and dag_file and not Path(config).is_absolute():
        beside = Path(dag_file).parent / config
        return str(beside) if beside.exists() or not Path(config).exists() else config
    return config


def require_no_password(config: ConfigLike) -> None:
    """Return if an inline config holds no password: Airflow shows the fields of operators to everybody who may look.

    Raises: ConfigError.
    """
    from gridferry.plan.addresses import holds_password

    if not isinstance(config, Mapping):
        return
    for key in ("source", "target"):
        value = config.get(key)
        texts = value.values() if isinstance(value, Mapping) else [value]
        if any(isinstance(text, str) and holds_password(text) for text in texts):
            raise ConfigError(
                f"`{key}` in the operator's config holds a password, which Airflow would show in its rendered fields",
                next_step=f"write {key}: {{{_KEY}: CONNECTION}} and keep the password in that connection",
            )


def _connection(document: Mapping[str, Any], key: str, *, given: str | None, default: str) -> str | None:
    written = document.get(key)
    if given:
        return given
    if isinstance(written, Mapping) and _KEY in written:
        return str(written[_KEY])
    return default if written is None else None


def _parsed(document: Mapping[str, Any], config: ConfigLike) -> Config:
    from gridferry.plan.config import parse_config

    name = config if isinstance(config, str) else "the operator's config"
    try:
        text = json.dumps(document, default=str, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ConfigError(f"{name} holds itself, or is nested too deeply", next_step="correct it") from None
    return parse_config(text, name=name, env=os.environ)
