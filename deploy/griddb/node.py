#!/usr/bin/env python3
"""One GridDB node in a container: write its config, start it, form the cluster, stop it cleanly.

`node.py` runs the node until SIGTERM or SIGINT; `node.py health` exits 0 when the cluster serves, and says why not
otherwise. It asks the node's own REST interface instead of the gs_* commands, so that the password is in no
process list. Needs Python 3.8 and nothing else.

Environment: GRIDDB_PASSWORD (of the user admin; set at every start), GRIDDB_CLUSTER, GRIDDB_ADDRESS (else what the
host's own name resolves to), GS_HOME (data), GRIDDB_CONF (templates), GRIDDB_SERVER (the program).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HOME = Path(os.environ.get("GS_HOME", "/var/lib/gridstore"))
TEMPLATES = Path(os.environ.get("GRIDDB_CONF", "/etc/griddb"))
SERVER = os.environ.get("GRIDDB_SERVER", "/usr/griddb/bin/gsserver")
CLUSTER = os.environ.get("GRIDDB_CLUSTER", "myCluster")
START_LIMIT_S = 600  # a node that was killed reads its logs first
STOP_LIMIT_S = 90
PARTS = ("cluster", "sync", "system", "transaction", "sql")


class NodeProblem(Exception):
    """What is wrong, in one line."""


def main(arguments: list[str]) -> int:
    """Run or look. Returns the exit code."""
    try:
        if arguments == ["health"]:
            require_serving()
            return 0
        if arguments:
            raise NodeProblem(f"unknown argument {arguments[0]}: there is only `health`")
        return run()
    except NodeProblem as problem:
        print(f"griddb: {problem}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130  # before there was a server


def run() -> int:
    """The node, until it ends or is asked to. Returns its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    write_config(address=os.environ.get("GRIDDB_ADDRESS") or own_address(), password=password())
    # What the last container left: process numbers start again, so it can name a stranger.
    (HOME / "conf" / "gridstore.pid").unlink(missing_ok=True)
    node = subprocess.Popen(  # noqa: S603 - the server, no shell
        [SERVER, "--conf", str(HOME / "conf")], cwd=HOME, start_new_session=True
    )
    try:
        try:
            form_cluster(node)
            print(f"griddb: the cluster {CLUSTER} serves", flush=True)
        except NodeProblem:
            if node.poll() is None:
                stop(node)
            raise
        code = node.wait()
        raise NodeProblem(f"the server ended by itself with {code}; see the files in {HOME / 'log'}")
    except KeyboardInterrupt:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return stop(node)


def write_config(*, address: str, password: str) -> None:
    """The config files in GS_HOME/conf, from the templates. Each start writes them: a container's address changes."""
    for folder in ("conf", "log", "data", "txnlog", "swap", "sync", "backup"):
        (HOME / folder).mkdir(parents=True, exist_ok=True)
    node, cluster = (read_json(TEMPLATES / name) for name in ("gs_node.json", "gs_cluster.json"))
    for part in PARTS:
        node[part]["serviceAddress"] = address
    cluster["cluster"]["clusterName"] = CLUSTER
    cluster["cluster"]["notificationMember"] = [
        {part: {"address": address, "port": node[part]["servicePort"]} for part in PARTS}
    ]
    write(HOME / "conf" / "gs_node.json", json.dumps(node, indent=1))
    write(HOME / "conf" / "gs_cluster.json", json.dumps(cluster, indent=1))
    users = HOME / "conf" / "password"
    others = users.read_text().splitlines() if users.exists() else ["system,"]
    others = [line for line in others if line and line.partition(",")[0] != "admin"]
    digest = hashlib.sha256(password.encode()).hexdigest()  # the form that gs_passwd writes
    write(users, "\n".join([f"admin,{digest}", *others, ""]), mode=0o600)


def form_cluster(node: subprocess.Popen[bytes]) -> None:
    """Wait for the node, tell it to join, wait until it serves. Raises: NodeProblem."""
    deadline = time.monotonic() + START_LIMIT_S
    joined = False
    while True:
        if node.poll() is not None:
            raise NodeProblem(f"the server ended with {node.returncode}; see the files in {HOME / 'log'}")
        try:
            state = ask("/node/stat")
            if not joined and state["recovery"]["progressRate"] >= 1:
                ask("/node/join", clusterName=CLUSTER, minNodeNum="1")
                joined = True
            require_serving()
            return
        except (urllib.error.URLError, OSError, NodeProblem) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 401:
                raise NodeProblem("the node refuses the password") from error
            if time.monotonic() > deadline:
                raise NodeProblem(f"no cluster after {START_LIMIT_S} s: {error}") from error
        time.sleep(0.5)


def require_serving() -> None:
    """Raises: NodeProblem unless the node is active and master of a cluster of its size."""
    try:
        cluster = ask("/node/stat")["cluster"]
    except (urllib.error.URLError, OSError) as error:
        raise NodeProblem(f"the node does not answer: {error}") from error
    found = (cluster.get("nodeStatus"), cluster.get("clusterStatus"), cluster.get("activeCount"))
    if found != ("ACTIVE", "MASTER", 1):
        raise NodeProblem(f"no cluster yet: node {found[0]}, cluster {found[1]}, active {found[2]}")


def stop(node: subprocess.Popen[bytes]) -> int:
    """Leave the cluster and shut down, which writes a checkpoint. Returns the server's exit code."""
    for path in ("/cluster/stop", "/node/shutdown"):
        try:
            ask(path, **({"force": "false"} if path == "/node/shutdown" else {}))
        except (urllib.error.URLError, OSError) as error:
            print(f"griddb: {path}: {error}", file=sys.stderr, flush=True)
        if path == "/cluster/stop":
            _await_left(node)
    try:
        return node.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        node.terminate()
        try:
            return node.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            node.kill()
            raise NodeProblem("the server did not stop in time and was killed") from None


def ask(path: str, **fields: str) -> dict:
    """One request to the node's REST interface: POST where fields or a verb are sent. Raises: URLError, OSError."""
    node = read_json(HOME / "conf" / "gs_node.json")["system"]
    is_look = path == "/node/stat"
    body = None if is_look else urllib.parse.urlencode(fields).encode()
    request = urllib.request.Request(f"http://{node['serviceAddress']}:{node['servicePort']}{path}", data=body)
    login = base64.b64encode(f"admin:{password()}".encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    # No proxy of the environment: this is the same machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if is_look else {}


def password() -> str:
    """Raises: NodeProblem if it is not set."""
    found = os.environ.get("GRIDDB_PASSWORD", "")
    if not found:
        raise NodeProblem("GRIDDB_PASSWORD is not set: it becomes the password of the user admin")
    return found


def own_address() -> str:
    """The address that other containers reach this one at."""
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        raise NodeProblem(f"the name {name} has no address ({error}): set GRIDDB_ADDRESS") from error


def read_json(path: Path) -> dict:
    """Raises: NodeProblem if the file cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NodeProblem(f"{path} cannot be read: {error}") from error
    return found


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=mode)
    fresh.write_text(text)
    fresh.chmod(mode)
    fresh.replace(path)


def _await_left(node: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STOP_LIMIT_S
    while node.poll() is None and time.monotonic() < deadline:
        try:
            if ask("/node/stat")["cluster"]["clusterStatus"] == "SUB_CLUSTER":
                return
        except (urllib.error.URLError, OSError):
            return
        time.sleep(0.2)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
