"""CPU time and memory of processes, and facts about the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
_PACKAGES = ("adbc-driver-postgresql", "duckdb", "numpy", "psycopg", "pyarrow")


def cpu_seconds(pid: int | None) -> float | None:
    """User and system time of a process and of all its children, ended ones too; None where it cannot be read."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        own = process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in process.children(recursive=True):
            times = child.cpu_times()
            total += times.user + times.system
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return float(total)


def resident_mb(pid: int) -> float:
    """Memory of a process now, in MB (2**20)."""
    return float(psutil.Process(pid).memory_info().rss / 2**20)


def own_peak_mb() -> float:
    """The most memory this process ever had, in MB (2**20).

    Linux hands ru_maxrss on from the process that started this one, so its own high-water mark is asked for first.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 2**10


def listener(port: int) -> int | None:
    """The process that listens on a port of this machine, or None where that cannot be seen."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    pids = [c.pid for c in found if c.status == psutil.CONN_LISTEN and c.laddr.port == port]
    return pids[0] if pids else None


def facts() -> dict[str, Any]:
    """Machine, load, commit and versions."""
    return {
        "taken_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {
            "processors": os.cpu_count(),
            "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "model": _model(),
            "memory_mb": round(psutil.virtual_memory().total / 2**20),
            "system": platform.platform(),
            "load_average": list(os.getloadavg()),
        },
        "versions": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in _PACKAGES},
    }


def _commit() -> str:
    """The checkout's commit, with + where files differ from it; "" outside of a checkout."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
