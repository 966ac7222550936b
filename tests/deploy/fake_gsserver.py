#!/usr/bin/env python3
"""Stands in for `gsserver --conf FOLDER`: the REST interface of one node, as GridDB 5.9.0 answers it.

It writes what it was asked to `asked` in its working folder, and ends with /node/shutdown. FAKE_EXIT ends it at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if code := os.environ.get("FAKE_EXIT"):
    sys.exit(int(code))
CONF = Path(sys.argv[sys.argv.index("--conf") + 1])
USERS = dict(line.split(",", 1) for line in (CONF / "password").read_text().splitlines())
state = {"nodeStatus": "INACTIVE", "clusterStatus": "SUB_CLUSTER", "activeCount": 0}


class Node(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.admitted():
            self.answer(200, {"cluster": state, "recovery": {"progressRate": 1}})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.admitted():
            return
        with Path("asked").open("a") as file:
            file.write(f"{self.path} {body}\n")
        if self.path == "/node/join":
            state.update(nodeStatus="ACTIVE", clusterStatus="MASTER", activeCount=1)
        if self.path == "/cluster/stop":
            state.update(nodeStatus="INACTIVE", clusterStatus="SUB_CLUSTER", activeCount=0)
        self.answer(200, {})
        if self.path == "/node/shutdown":
            threading.Thread(target=server.shutdown).start()

    def admitted(self) -> bool:
        login = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        user, _, password = login.partition(":")
        if USERS.get(user) == hashlib.sha256(password.encode()).hexdigest():
            return True
        self.answer(401, {})
        return False

    def answer(self, code: int, document: object) -> None:
        text = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


system = json.loads((CONF / "gs_node.json").read_text())["system"]
server = ThreadingHTTPServer((system["serviceAddress"], system["servicePort"]), Node)
server.serve_forever()
