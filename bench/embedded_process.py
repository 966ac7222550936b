"""The emulator as a process: prints {"port": ...}, serves until its input ends. Argument: a folder, or none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gridferry.embedded.server import serve
from gridferry.without_pandas import leave_pandas_out


def main() -> None:
    """Serve."""
    leave_pandas_out()
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    running = serve(port=0, path=folder)
    try:
        print(json.dumps({"port": running.address[1]}), flush=True)
        sys.stdin.read()
    finally:
        running.stop()


if __name__ == "__main__":
    main()
