"""Where source and target are: addresses read out of a config file, without a secret in any message or repr."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT = 10001
SSL_MODES = ("disable", "prefer", "require", "verify")
PASSWORD_VARIABLE = "GRIDDB_PASSWORD"  # noqa: S105 - the name of a variable, not a password
TARGET_FORM = "griddb://user@host:port[,host:port]/cluster[/database][?sslmode=disable|prefer|require|verify]"

_SOURCE_HAS_IT = (
    "holds a password; keep it out of the file: put the whole string in a variable and write ${SOURCE_DSN}, "
    "or use PGPASSWORD or ~/.pgpass"
)
_TARGET_HAS_IT = (
    f"holds a password; keep it out of the file: set {PASSWORD_VARIABLE}, or write "
    "target: {url: ..., password_file: PATH}"
)
_AIRFLOW_ONLY = (
    "connections of Airflow can be read only inside Airflow; for the command line write ${VARIABLE} here "
    "and set that variable"
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DSN_PASSWORD = re.compile(r"(?:^|\s)password\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_USERINFO = re.compile(r"^[a-z][a-z0-9+.-]*://(?P<user>[^/@:]*):(?P<password>[^/]*)@", re.IGNORECASE)
_QUERY_PASSWORD = re.compile(r"[?&]password=([^&]*)", re.IGNORECASE)


@dataclass(frozen=True)
class SourceAddress:
    """A PostgreSQL connection string, hidden from repr because it may hold a password."""

    dsn: str = field(repr=False)


@dataclass(frozen=True)
class TargetAddress:
    """A GridDB cluster's members and how to log in. `password` is None where nothing gave one."""

    user: str
    members: tuple[tuple[str, int], ...]
    cluster: str
    database: str = "public"
    sslmode: str = "prefer"
    password: str | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The address for people: first member, cluster and database; no password."""
        host, port = self.members[0]
        shown = f"[{host}]" if ":" in host else host
        more = f" (+{len(self.members) - 1})" if len(self.members) > 1 else ""
        return f"griddb://{self.user}@{shown}:{port}{more}/{self.cluster}/{self.database}"


class AddressProblem(Exception):
    """One or more mistakes in an address, each a path below it and a sentence; becomes a ConfigError in `config`."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*(sentence for _, sentence in problems))
        self.problems = problems


def expand_variables(text: str, env: Mapping[str, str]) -> str:
    """`text` with each ${NAME} replaced by the environment's value. Raises: AddressProblem for unset names."""
    missing = sorted({m for m in _VARIABLE.findall(text) if m not in env})
    if missing:
        raise AddressProblem(*(("", f"the environment variable {name} is not set") for name in missing))
    return _VARIABLE.sub(lambda match: env[match.group(1)], text)


def source_address(value: Any, env: Mapping[str, str]) -> SourceAddress:
    """The source a config file names: a connection string. Raises: AddressProblem."""
    _refuse_airflow(value)
    if not isinstance(value, str) or not value.strip():
        raise AddressProblem(("", "expected a PostgreSQL connection string such as ${SOURCE_DSN}"))
    if _literal_password(value):
        raise AddressProblem(
            ("", _SOURCE_HAS_IT),
        )
    dsn = expand_variables(value, env).strip()
    if not dsn:
        raise AddressProblem(("", "is empty after its variables were filled in"))
    return SourceAddress(dsn)


def target_address(value: Any, env: Mapping[str, str]) -> TargetAddress:
    """The target a config file names: a URL, or a mapping of `url` and `password_file`. Raises: AddressProblem."""
    _refuse_airflow(value)
    password_file = None
    if isinstance(value, dict):
        unknown = sorted(set(value) - {"url", "password_file"})
        if unknown or not isinstance(value.get("url"), str):
            raise AddressProblem(
                *((name, "is not known here; allowed: url, password_file") for name in unknown),
                *([] if isinstance(value.get("url"), str) else [("url", f"is missing; the form is {TARGET_FORM}")]),
            )
        password_file, value = value.get("password_file"), value["url"]
    if not isinstance(value, str):
        raise AddressProblem(("", f"expected {TARGET_FORM}"))
    if _literal_password(value):
        raise AddressProblem(
            ("", _TARGET_HAS_IT),
        )
    return parse_target(expand_variables(value, env), password=_password(password_file, env))


def parse_target(url: str, *, password: str | None = None) -> TargetAddress:
    """The parts of a target URL; a password inside it wins over `password`. Raises: AddressProblem."""
    userinfo, at, rest = _strip_scheme(url).rpartition("@")
    if not at or not userinfo:
        raise AddressProblem(("", f"names no user; the form is {TARGET_FORM}"))
    user, colon, inside = userinfo.partition(":")
    place = urlsplit("//" + rest)
    members, rest_path = _members(rest), [unquote(p) for p in place.path.split("/") if p]
    if not 1 <= len(rest_path) <= 2:
        raise AddressProblem(("", f"names no cluster, or too much; the form is {TARGET_FORM}"))
    query = dict(parse_qsl(place.query, keep_blank_values=True))
    unknown = sorted(set(query) - {"sslmode"})
    if unknown:
        raise AddressProblem(("", f"does not know the option {', '.join(unknown)}; allowed: sslmode"))
    sslmode = query.get("sslmode", "prefer")
    if sslmode not in SSL_MODES:
        raise AddressProblem(("", f"sslmode can be {', '.join(SSL_MODES)}"))
    return TargetAddress(
        user=unquote(user),
        members=members,
        cluster=rest_path[0],
        database=rest_path[1] if len(rest_path) == 2 else "public",
        sslmode=sslmode,
        password=unquote(inside) if colon else password,
    )


def _strip_scheme(url: str) -> str:
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() != "griddb":
        raise AddressProblem(("", f"does not begin with griddb://; the form is {TARGET_FORM}"))
    return rest


def _members(rest: str) -> tuple[tuple[str, int], ...]:
    hosts = re.split(r"[/?]", rest, maxsplit=1)[0].split(",")
    found = []
    for number, host in enumerate(hosts, start=1):
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?", host)
        port = int(match.group(2) or DEFAULT_PORT) if match else 0
        if match is None or not 1 <= port <= 65535:
            raise AddressProblem(("", f"member {number} is not host:port with a port from 1 to 65535"))
        found.append((match.group(1).strip("[]"), port))
    return tuple(found)


def _password(password_file: Any, env: Mapping[str, str]) -> str | None:
    if password_file is None:
        return env.get(PASSWORD_VARIABLE)
    if not isinstance(password_file, str) or not password_file:
        raise AddressProblem(("password_file", "expected the path of a file"))
    path = Path(expand_variables(password_file, env)).expanduser()
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AddressProblem(("password_file", f"{path} cannot be read: {reason}")) from None


def _literal_password(text: str) -> bool:
    """Whether a password is written out; one that is nothing but ${NAME} is not."""
    matches = [m.group("password") for m in [_USERINFO.search(text)] if m]
    matches += [m.strip("'") for m in _DSN_PASSWORD.findall(text)] + _QUERY_PASSWORD.findall(text)
    return any(password and not _VARIABLE.fullmatch(password) for password in matches)


def _refuse_airflow(value: Any) -> None:
    if isinstance(value, dict) and "airflow_conn_id" in value:
        raise AddressProblem(
            ("airflow_conn_id", _AIRFLOW_ONLY),
        )
