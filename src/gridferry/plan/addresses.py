"""Where source and target are: addresses read out of a config file, without a secret in any message or repr."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from gridferry.errors import ConfigError
from gridferry.griddb.address import GridDBAddress, parse_address, with_password
from gridferry.plan.small_files import Unreadable, home_expanded, read_small, reason

PASSWORD_VARIABLE = "GRIDDB_PASSWORD"  # noqa: S105 - the name of a variable, not a password
MOST_PASSWORD_BYTES = 4096
TARGET_FORM = "griddb://user@host:port[,host:port]/cluster[/database][?sslmode=disable|prefer|require|verify]"
ENCODING = (
    "in a user's name and a password, every character but letters, digits and -._~ is written as % and two hex digits: "
    "@ is %40, / is %2F, : is %3A, ? is %3F, # is %23, % is %25"
)
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]*\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_QUOTED = re.compile(r'"([^"]*)"')

_SOURCE = ("dsn", "replication_dsn")
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
_NAME = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# $NAME alone, or a ${ that begins no ${NAME}. A $ elsewhere may be part of a name.
_OTHER_FORM = re.compile(r"^\s*\$[A-Za-z_][A-Za-z0-9_]*\s*$|\$\{(?![A-Za-z_][A-Za-z0-9_]*\})")
_USERINFO = re.compile(r"^[a-z][a-z0-9+.-]*://(?P<user>[^/@:]*):(?P<password>[^/]*)@", re.IGNORECASE)
_VARIABLE_PASSWORD = re.compile(rf"(?P<user>griddb://[^/@:]*):(?P<password>{_NAME})(?P<rest>@.*)", re.DOTALL)
_URL_VARIABLE = re.compile(rf"(?P<before>^\s*[a-z]+://[^/@:]*:)(?P<password>{_NAME})(?=@)", re.IGNORECASE)
_PAIR_VARIABLE = re.compile(rf"(?P<before>\bpassword\s*=\s*)(?P<q>'?)(?P<password>{_NAME})(?P=q)", re.IGNORECASE)
SECRET_OPTIONS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_SECRET_NAMES = "|".join(SECRET_OPTIONS)
_QUERY_PASSWORD = re.compile(rf"[?&](?:{_SECRET_NAMES})=([^&]*)", re.IGNORECASE)
_DSN_PASSWORD = re.compile(rf"(?:^|\s)(?:{_SECRET_NAMES})\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class SourceAddress:
    """PostgreSQL connection strings, hidden from repr because they may hold a password.

    `replication_dsn`: the server itself, for mode cdc, where `dsn` is that of a pooler; or "".
    """

    dsn: str = field(repr=False)
    replication_dsn: str = field(default="", repr=False)


class AddressProblem(Exception):
    """One or more mistakes in an address, each a path below it and a sentence; becomes a ConfigError in `config`."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*(sentence for _, sentence in problems))
        self.problems = problems


def expand_variables(text: str, env: Mapping[str, str]) -> str:
    """`text` with each ${NAME} replaced by the environment's value.

    Raises: AddressProblem for unset names, and for variables in another form.
    """
    if _OTHER_FORM.search(text):
        raise AddressProblem(("", "a variable is written ${NAME}, without a default or anything else in it"))
    missing = sorted({m for m in _VARIABLE.findall(text) if m not in env})
    if missing:
        raise AddressProblem(*(("", f"the environment variable {name} is not set") for name in missing))
    return _VARIABLE.sub(lambda match: env[match.group(1)], text)


def source_address(value: Any, env: Mapping[str, str]) -> SourceAddress:
    """The source a config file names: a connection string, or a mapping of `dsn` and `replication_dsn`.

    Raises: AddressProblem.
    """
    _refuse_airflow(value)
    if not isinstance(value, dict):
        return SourceAddress(_source_dsn(value, env))
    wrong = [(str(name), "is not known here; allowed: dsn, replication_dsn") for name in value if name not in _SOURCE]
    found = {}
    for name in _SOURCE:
        if name not in value and name == "replication_dsn":
            continue
        try:
            found[name] = _source_dsn(value.get(name), env)
        except AddressProblem as error:
            wrong += [(name, sentence) for _, sentence in error.problems]
    if wrong:
        raise AddressProblem(*wrong)
    return SourceAddress(found["dsn"], found.get("replication_dsn", ""))


def _source_dsn(value: Any, env: Mapping[str, str]) -> str:
    _refuse_airflow(value)
    if not isinstance(value, str) or not value.strip():
        raise AddressProblem(("", "expected a PostgreSQL connection string such as ${SOURCE_DSN}"))
    if holds_password(value):
        raise AddressProblem(("", _SOURCE_HAS_IT))
    if malformed_url(_VARIABLE.sub("x", value)):
        raise AddressProblem(("", f"is not a URL that can be read: {ENCODING}"))
    dsn = _expand_source(value, env).strip()
    if not dsn:
        raise AddressProblem(("", "is empty after its variables were filled in"))
    return dsn


def target_address(value: Any, env: Mapping[str, str]) -> GridDBAddress:
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
    inside = _VARIABLE_PASSWORD.match(value)
    if inside is not None:
        # Taken out before the URL is read: a password from a variable may hold any character.
        password = expand_variables(inside.group("password"), env)
        return _parsed(inside.group("user") + inside.group("rest"), env, password=password)
    if holds_password(value) or ":" in value.partition("://")[2].rpartition("@")[0]:
        raise AddressProblem(("", _TARGET_HAS_IT))
    return _parsed(value, env, password=_password(password_file, env))


def _parsed(written: str, env: Mapping[str, str], *, password: str | None) -> GridDBAddress:
    """The address in the URL `written` in the file, with `password` where the URL holds none of its own."""
    try:
        address = parse_address(expand_variables(written, env))
    except ConfigError as error:
        # What came from a variable may be a piece of a password, cut off where it holds a slash or a question mark.
        problem = _QUOTED.sub(lambda m: m.group(0) if m.group(1) in written else "a part of it", error.message)
        raise AddressProblem(("", f"{problem}; the form is {TARGET_FORM}")) from None
    except ValueError:
        raise AddressProblem(("", f"is not a URL; the form is {TARGET_FORM}")) from None
    return address if address.password or password is None else with_password(address, password)


def _password(password_file: Any, env: Mapping[str, str]) -> str | None:
    if password_file is None:
        return env.get(PASSWORD_VARIABLE)
    if not isinstance(password_file, str) or not password_file:
        raise AddressProblem(("password_file", "expected the path of a file"))
    written = expand_variables(password_file, env)
    shown = "the file" if "\0" in written else written
    try:
        found = read_small(home_expanded(written), most=MOST_PASSWORD_BYTES)
    except (OSError, Unreadable) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise AddressProblem(("password_file", f"{shown} cannot be read: {why}")) from None
    password = found.text.rstrip("\r\n")
    if "\0" in password:
        raise AddressProblem(("password_file", f"{shown} holds a NUL character, which no password can hold"))
    return password


def exposed_password_file(value: Any, env: Mapping[str, str]) -> str:
    """What to warn of where the target that `target_address` took names a file that others may read; else ""."""
    written = value.get("password_file") if isinstance(value, dict) else None
    if not isinstance(written, str):
        return ""
    path = home_expanded(expand_variables(written, env))
    try:
        open_to_others = read_small(path, most=MOST_PASSWORD_BYTES).open_to_others
    except (OSError, Unreadable):
        return ""  # it was read a moment ago
    if not open_to_others:
        return ""
    return f"other accounts of this machine can read the password in {path}; close it with `chmod 600 {path}`"


def malformed_url(text: str) -> bool:
    """Whether a URL cannot mean what it says: more than one @, a / or ? before one, a port that is no number.

    Of such a text nothing may be shown: a password with one of these characters is cut there, and what follows would
    pass for the host, the port or the database.
    """
    _, separator, rest = text.strip().partition("://")
    if not separator:
        return False
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if rest.count("@") > 1 or ("@" in rest and "@" not in authority) or re.search(r"\s", rest):
        return True
    hosts = authority.rpartition("@")[2].split(",")
    return not all(_HOST_PORT.fullmatch(host) for host in hosts)


def holds_password(text: str) -> bool:
    """Whether a password is written out; one that is nothing but ${NAME} is not."""
    matches = [m.group("password") for m in [_USERINFO.search(text)] if m]
    matches += [m.strip("'") for m in _DSN_PASSWORD.findall(text)] + _QUERY_PASSWORD.findall(text)
    return any(password and not _VARIABLE.fullmatch(password) for password in matches)


def _expand_source(dsn: str, env: Mapping[str, str]) -> str:
    """`dsn` filled in; a password that is ${NAME} is written as its form of connection string needs it."""
    match = (_URL_VARIABLE if "://" in dsn else _PAIR_VARIABLE).search(dsn)
    if match is None:
        return expand_variables(dsn, env)
    secret = expand_variables(match.group("password"), env)
    written = quote(secret, safe="") if "://" in dsn else _pair_quoted(secret)
    before, after = dsn[: match.end("before")], dsn[match.end() :]
    return expand_variables(before, env) + written + expand_variables(after, env)


def _pair_quoted(value: str) -> str:
    """`value` as it is written in a `name=value` connection string. Source: PostgreSQL manual, 34.1.1.1."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _refuse_airflow(value: Any) -> None:
    if isinstance(value, dict) and "airflow_conn_id" in value:
        raise AddressProblem(("airflow_conn_id", _AIRFLOW_ONLY))
