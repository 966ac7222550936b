"""node.py, with a program in the server's place: config, forming the cluster, health, a clean stop."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.stack import DEPLOY, NASTY

from gridferry.airflow.local_airflow import free_port

NODE = DEPLOY / "griddb" / "node.py"
FAKE = Path(__file__).with_name("fake_gsserver.py")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A node of its own, on free ports, with the templates of the image."""
    shutil.copytree(DEPLOY / "griddb" / "conf", tmp_path / "templates")
    template = tmp_path / "templates" / "gs_node.json"
    node = json.loads(template.read_text())
    for part in ("cluster", "sync", "system", "transaction", "sql"):
        node[part]["servicePort"] = free_port()
    template.write_text(json.dumps(node))
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GS_HOME": str(tmp_path / "home"),
        "GRIDDB_CONF": str(tmp_path / "templates"),
        "GRIDDB_SERVER": str(FAKE),
        "GRIDDB_ADDRESS": "127.0.0.1",
        "GRIDDB_CLUSTER": "stack",
        "GRIDDB_PASSWORD": NASTY,
    }


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A node that serves."""
    node = subprocess.Popen(
        [sys.executable, NODE], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == "griddb: the cluster stack serves\n"
        yield node
    finally:
        if node.poll() is None:
            node.send_signal(signal.SIGTERM)
        node.communicate(timeout=30)


def test_it_forms_a_cluster_and_stops_it_in_order(running: subprocess.Popen[str], environment: dict[str, str]) -> None:
    assert health(environment).returncode == 0
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == 0
    asked = (Path(environment["GS_HOME"]) / "asked").read_text().splitlines()
    assert asked == ["/node/join clusterName=stack&minNodeNum=1", "/cluster/stop ", "/node/shutdown force=false"]
    assert health(environment).returncode == 1


def test_its_config_is_a_fixed_list_of_itself(running: subprocess.Popen[str], environment: dict[str, str]) -> None:
    conf = Path(environment["GS_HOME"]) / "conf"
    node, cluster = (json.loads((conf / name).read_text()) for name in ("gs_node.json", "gs_cluster.json"))
    (member,) = cluster["cluster"]["notificationMember"]
    for part, place in member.items():
        assert place == {"address": node[part]["serviceAddress"], "port": node[part]["servicePort"]}
        assert place["address"] == "127.0.0.1"
    assert cluster["cluster"]["clusterName"] == "stack"
    assert cluster["cluster"]["replicationNum"] == 1
    assert not {"notificationAddress", "notificationPort"} & set(cluster["cluster"])


def test_the_password_is_in_no_process_list(running: subprocess.Popen[str], environment: dict[str, str]) -> None:
    lines = [Path(f"/proc/{running.pid}/cmdline")]
    lines += [Path(f"/proc/{child}/cmdline") for child in children(running.pid)]
    assert len(lines) > 1
    assert all(NASTY.encode() not in line.read_bytes() for line in lines)


def test_another_password_is_set_at_the_next_start_and_other_users_stay(environment: dict[str, str]) -> None:
    users = Path(environment["GS_HOME"]) / "conf" / "password"
    users.parent.mkdir(parents=True)
    users.write_text("admin,old\nsystem,\ngs#reader,abc\n")
    node = subprocess.Popen([sys.executable, NODE], env=environment, stdout=subprocess.PIPE, text=True)
    assert node.stdout is not None
    node.stdout.readline()
    node.send_signal(signal.SIGTERM)
    node.communicate(timeout=30)
    digest = hashlib.sha256(NASTY.encode()).hexdigest()
    assert users.read_text().splitlines() == [f"admin,{digest}", "system,", "gs#reader,abc"]
    assert users.stat().st_mode & 0o777 == 0o600


def test_a_wrong_password_is_not_healthy(running: subprocess.Popen[str], environment: dict[str, str]) -> None:
    done = health({**environment, "GRIDDB_PASSWORD": "another"})
    assert done.returncode == 1
    assert "401" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"GRIDDB_PASSWORD": ""}, "griddb: GRIDDB_PASSWORD is not set"),
        ({"FAKE_EXIT": "3"}, "griddb: the server ended with 3"),
        ({"GRIDDB_CONF": "/nowhere"}, "griddb: /nowhere/gs_node.json cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(change: dict[str, str], said: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, NODE], env={**environment, **change}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_ends_by_itself_ends_the_container_with_an_error(
    running: subprocess.Popen[str], environment: dict[str, str]
) -> None:
    (child,) = children(running.pid)
    os.kill(child, signal.SIGKILL)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "the server ended by itself with -9" in said


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def health(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, NODE, "health"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
