"""The files of deploy/, read as what they are."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "docker-compose.yaml"
DOCKERFILES = (DEPLOY / "Dockerfile.airflow", DEPLOY / "Dockerfile.griddb")
SCRIPTS = (DEPLOY / "make-env", DEPLOY / "redis" / "start.sh", DEPLOY / "postgres" / "roles.sh")
NASTY = """p@ss:/%#"'$ w\\"""
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|AUTH$")
# What PostgreSQL's entry point needs to give its data to the user postgres, and to become that user.
_NEEDED = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
_BIN = Path(sys.executable).parent


def compose(text: str | None = None) -> dict[str, Any]:
    """The compose file, its anchors merged. Variables stand in it as they are written."""
    found = yaml.safe_load(text if text is not None else COMPOSE.read_text())
    assert isinstance(found, dict)
    return found


def program(path: str) -> ModuleType:
    """A program of deploy/ as a module, to call its functions."""
    file = DEPLOY / path
    spec = importlib.util.spec_from_file_location(f"deploy_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A checker of the environment, with what it says."""
    return subprocess.run(
        [_BIN / name, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def problems(found: dict[str, Any]) -> list[str]:
    """What this stack promises of its compose file and does not hold, a line each."""
    return [line for name, service in found["services"].items() for line in _problems(name, service)]


def _problems(name: str, service: dict[str, Any]) -> Iterator[str]:
    if service.get("restart") != "no":
        if service.get("restart") != "unless-stopped":
            yield f"{name}: no restart policy"
        if not service.get("healthcheck"):
            yield f"{name}: no health check"
    # A digest may be added by a variable.
    image = re.sub(r"\$\{[A-Z]+_DIGEST:-\}$", "", service.get("image", ""))
    if not re.search(r":\d+\.\d+(\.\d+)?(-[\w.]+)?$", image):
        yield f"{name}: image {image} has no version"
    for needed, how in service.get("depends_on", {}).items():
        if how.get("condition") == "service_started":
            yield f"{name}: waits for the start of {needed}, not for its health"
    if service.get("cap_drop") != ["ALL"]:
        yield f"{name}: keeps capabilities of root"
    if service.get("security_opt") != ["no-new-privileges:true"]:
        yield f"{name}: may get new privileges"
    if service.get("privileged") or not set(service.get("cap_add", [])) <= _NEEDED:
        yield f"{name}: has more capabilities than it needs"
    yield from _open_doors(name, service)


def _open_doors(name: str, service: dict[str, Any]) -> Iterator[str]:
    for port in service.get("ports", []):
        if not isinstance(port, str) or not port.startswith("127.0.0.1:"):
            yield f"{name}: port {port} is not of 127.0.0.1 only"
    for key, value in service.get("environment", {}).items():
        # Where to find a file of passwords is no password.
        if SECRET.search(key) and not key.endswith("_FILE") and not re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)):
            yield f"{name}: {key} does not come from the environment, or may be missing"
    for volume in service.get("volumes", []):
        if str(volume).startswith(".") and not str(volume).endswith(":ro"):
            yield f"{name}: {volume} of the checkout can be written"
