"""Generated passwords through every command: no piece of one is ever said, whatever was made of it."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.profiles import MANY
from typer.testing import CliRunner

from gridferry.cli.main import app
from gridferry.errors import FerryError
from gridferry.griddb.address import parse_address as parse_griddb
from gridferry.plan.addresses import malformed_url
from gridferry.plan.config import parse_config
from gridferry.source.postgres.session.connection import parse_address

# What a person may take for a password, with all that means something in an address.
SPECIAL = "/@:?#%&= '\"\\,[]{}$!+;"
PASSWORD = st.text(alphabet=st.sampled_from("QZXJVKWqzxjvkw7390" + SPECIAL * 2), min_size=6, max_size=24).filter(
    lambda text: text.strip() == text and re.search(r"[A-Za-z0-9]{2}", text) is not None
)
QUIET = settings(max_examples=MANY, suppress_health_check=list(HealthCheck))


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


PORT = closed_port()
FORMS: tuple[Callable[[str], str], ...] = (
    lambda p: f"postgresql://ann:{p}@127.0.0.1:{PORT}/db",
    lambda p: f"postgres://ann:{p}@127.0.0.1/db?connect_timeout=1&port={PORT}",
    lambda p: f"postgresql://127.0.0.1:{PORT}/db?user=ann&password={p}",
    lambda p: f"postgresql://{p}@127.0.0.1:{PORT}/db",
    lambda p: f"host=127.0.0.1 port={PORT} user=ann dbname=db password={p}",
    lambda p: f"password={p} host=127.0.0.1 port={PORT} user=ann dbname=db",
    lambda p: f"host=127.0.0.1 port={PORT} user=ann dbname=postgresql://ann:{p}@h/db",
    lambda p: f"ann:{p}@127.0.0.1:{PORT}/db",
    lambda p: f"mysql://ann:{p}@127.0.0.1/db",
)
TARGETS: tuple[Callable[[str], str], ...] = (
    lambda p: f"griddb://ann:{p}@127.0.0.1:{PORT}/cluster/db",
    lambda p: f"griddb://ann:{p}@127.0.0.1:{PORT}/cluster?sslmode=prefer",
    lambda p: f"griddb://127.0.0.1:{PORT}/cluster?password={p}",
    lambda p: f"http://ann:{p}@127.0.0.1:{PORT}/cluster",
)


def pieces(password: str) -> set[str]:
    return {password[i : i + 4] for i in range(len(password) - 3)}


def told(text: str, password: str, known: str = "") -> set[str]:
    """The pieces of a password that a text holds, and that no plain text around it would hold by itself."""
    return {piece for piece in pieces(password) if piece in text and piece not in known and piece.strip(SPECIAL)}


@QUIET
@given(PASSWORD, st.sampled_from(FORMS))
def test_no_piece_of_a_sources_password_is_in_an_error(password: str, form: Callable[[str], str]) -> None:
    if form is FORMS[3]:
        return  # it stands where the user's name does
    try:
        address = parse_address(form(password))
    except FerryError as error:
        text = f"{error} {error!r} {error.next_step} {error.state} {error.__cause__!r} {error.__context__!r}"
        assert not told(text, password), text
        return
    # Whatever was read of it is shown as host, port and database from now on.
    assert not told(f"{address!r} {address.display}", password), address.display


@QUIET
@given(PASSWORD, st.sampled_from(TARGETS))
def test_no_piece_of_a_targets_password_is_in_an_error(password: str, form: Callable[[str], str]) -> None:
    url = form(password)
    for read in (lambda: str(parse_griddb(url)), lambda: repr(parse_griddb(url))):
        try:
            text = read()
        except FerryError as error:
            text = f"{error} {error!r} {error.next_step} {error.__cause__!r}"
        if form is not TARGETS[2] or "password" in text:
            assert not told(text, password), text


@QUIET
@given(PASSWORD, st.sampled_from(FORMS + TARGETS), st.sampled_from(["source", "target", "variable"]))
def test_no_piece_of_a_password_in_a_config_is_in_its_mistakes(
    password: str, form: Callable[[str], str], where: str
) -> None:
    document = {"source": "host=x", "target": "griddb://a@h:1/c", "tables": [{"table": "t"}]}
    env = {"SECRET": form(password)}
    document["target" if form in TARGETS else "source"] = "${SECRET}" if where == "variable" else form(password)
    try:
        config = parse_config(json.dumps(document), env=env)
    except FerryError as error:
        text = f"{error} {error!r} {error.next_step} {error.__cause__!r}"
    else:
        text = f"{config!r} {config.target}"
    if form not in (FORMS[3], TARGETS[2]):
        assert not told(text, password), text


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (("init", "{}", "-o", "-"), False),
        (("init", "{}", "-o", "-", "--json"), False),
        (("plan", "-c", "CONFIG"), False),
        (("plan", "-c", "CONFIG", "--json"), False),
        (("load", "-c", "CONFIG", "--dry-run"), False),
        (("tables", "--target", "{}"), True),
        (("status", "-c", "CONFIG", "--json"), True),
        (("verify", "-c", "CONFIG"), True),
    ],
)
@pytest.mark.slow
def test_no_piece_of_a_password_is_in_what_a_command_says(
    tmp_path: Path, command: tuple[str, ...], target: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "1")
    monkeypatch.setenv("GRIDDB_PASSWORD", "")
    config = tmp_path / "gridferry.yaml"
    for number, password in enumerate(["Q/Z7", "QzX@vKwq", "Zq7:3/9@x", "J?vK=w&q", "W#kq%2", "X Kz'9q", "9/QzXjv@"]):
        for form in TARGETS if target else FORMS:
            if form is FORMS[3]:
                continue
            address = form(password)
            document = {"source": "${SOURCE}", "target": "griddb://a@127.0.0.1:1/c", "tables": [{"table": "t"}]}
            if target:
                document["target"] = "${SOURCE}"
            config.write_text(json.dumps(document))
            words = [word.replace("CONFIG", str(config)).replace("{}", address) for word in command]
            done = CliRunner().invoke(app, words, env={"SOURCE": address, "COLUMNS": "2000"})
            said = done.stdout + done.stderr
            assert done.exit_code not in (0, 1) or target, said
            assert not told(said, password, str(tmp_path)), (number, said)
            assert "Traceback" not in said


def test_init_warns_of_a_password_on_its_command_line_and_not_of_one_in_the_variable() -> None:
    address = f"postgresql://ann:Qz7xJvKw@127.0.0.1:{PORT}/db"
    plain = {"COLUMNS": "2000", "PGCONNECT_TIMEOUT": "1"}
    written = CliRunner().invoke(app, ["init", address, "-o", "-"], env={**plain, "SOURCE_DSN": None})
    assert "list of processes" in written.stderr
    assert "~/.pgpass" in written.stderr
    assert "Qz7x" not in written.stdout + written.stderr
    stored = CliRunner().invoke(app, ["init", "-o", "-"], env={**plain, "SOURCE_DSN": address})
    assert "list of processes" not in stored.stderr
    assert "Qz7x" not in stored.stdout + stored.stderr
    both = CliRunner().invoke(app, ["init", address, "-o", "-"], env={**plain, "SOURCE_DSN": address})
    assert "list of processes" in both.stderr


@pytest.mark.parametrize(
    ("url", "malformed"),
    [
        ("postgresql://u@h/d", False),
        ("postgresql://u:p@h:5432/d", False),
        ("postgresql:///d?host=/tmp&port=5433", False),
        ("postgresql://h1:1,h2:2/d", False),
        ("postgresql://u@[::1]:5432/d", False),
        ("postgresql://u@%2Ftmp/d", False),
        ("postgresql://", False),
        ("host=h user=u", False),
        ("postgresql://u:p/w@h/d", True),
        ("postgresql://u:p@w@h/d", True),
        ("postgresql://u:p?w@h/d", True),
        ("postgresql://u:p#w@h/d", True),
        ("postgresql://u:pw:x/h", True),
        ("postgresql://u:pw/h", True),
        ("postgresql://u:p w@h/d", True),
        ("postgresql://h:123456/d", True),
    ],
)
def test_which_urls_cannot_mean_what_they_say(url: str, malformed: bool) -> None:
    assert malformed_url(url) is malformed


def test_passwords_that_are_encoded_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    address = parse_address("postgresql://ann:p%40%2F%3A%3F@h:5433/d")
    assert (address.host, address.port, address.database, address.user) == ("h", "5433", "d", "ann")
    assert "p@/:?" in address.conninfo
