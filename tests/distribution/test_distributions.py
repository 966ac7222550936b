"""The wheel and the source distribution: what is in them, what they say of themselves, and that they can be installed.

Build and installation need the package index, as everything does that `make` sets up. Versions are those of uv.lock.
"""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import gridferry
import gridferry.griddb

ROOT = Path(__file__).parents[2]
# `uv run`, which starts these tests, says where it is.
UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".tools/uv/bin/uv")
LIMIT_S = 300
# In a Python that has the core alone: every public name loads, and nothing of an extra is there.
LOOK = """
import importlib.util, json, gridferry.griddb
names = [name for name in gridferry.griddb.__all__ if getattr(gridferry.griddb, name) is not None]
from gridferry.engine.migration import Migration
extras = ["airflow", "duckdb", "jinja2", "prometheus_client", "pygal", "pytest", "sqlglot"]
print(json.dumps({
    "names": names, "migration": Migration.__name__, "file": gridferry.griddb.__file__,
    "extras": [name for name in extras if importlib.util.find_spec(name)],
}))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(UV).exists(), reason="no uv: `make` has one, in .tools or on PATH"),
]


@dataclass(frozen=True)
class Built:
    """What `uv build` wrote: the source distribution, the wheel made from it, and the wheel made from the checkout."""

    sdist: Path
    wheel: Path
    direct_wheel: Path


def call(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a program prints; it must end well."""
    # A Python of its own: nothing of this one's paths, nor of what `make` asks of uv.
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "UV_COMPILE_BYTECODE", "UV_PROJECT_ENVIRONMENT")
    env = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=LIMIT_S, cwd=cwd, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What uv.lock has, build backend too, as constraints."""
    path = tmp_path_factory.mktemp("locked") / "constraints.txt"
    arguments = ["--frozen", "--quiet", "--no-dev", "--group", "stack", "--no-emit-project", "--no-hashes"]
    call(UV, "export", *arguments, "--output-file", path)
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, locked: Path) -> Built:
    folder = tmp_path_factory.mktemp("built")
    options = ("--quiet", "--python", sys.executable, "--build-constraint", locked)
    # Without --wheel and --sdist the wheel is made from the source distribution.
    call(UV, "build", *options, "--out-dir", folder / "both", ROOT)
    call(UV, "build", *options, "--wheel", "--out-dir", folder / "direct", ROOT)
    (sdist,) = (folder / "both").glob("*.tar.gz")
    (wheel,) = (folder / "both").glob("*.whl")
    (direct,) = (folder / "direct").glob("*.whl")
    return Built(sdist, wheel, direct)


def files_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def package_files() -> dict[str, bytes]:
    """The package in this checkout, by the names that a wheel gives its files."""
    source = ROOT / "src"
    files = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(source).as_posix(): path.read_bytes() for path in files}


def test_the_wheel_has_the_whole_package_and_nothing_else(built: Built) -> None:
    files = files_of(built.wheel)
    about = {name for name in files if name.startswith(f"gridferry-{gridferry.__version__}.dist-info/")}
    assert {name: files[name] for name in files.keys() - about} == package_files()
    assert {name.partition("/")[2] for name in about} == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip


def test_the_wheel_has_what_is_not_python(built: Built) -> None:
    names = files_of(built.wheel).keys()
    assert "gridferry/py.typed" in names
    for folder in ("report", "airflow/page"):
        endings = {Path(name).suffix for name in names if name.startswith(f"gridferry/{folder}/templates/")}
        assert endings == {".j2", ".css", ".js"}


def test_the_source_distribution_has_what_a_build_needs_and_no_more(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {name.partition("/")[0] for name in names}
    assert top == {".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "src"}
    assert {name for name in names if name.startswith("src/")} == {f"src/{name}" for name in package_files()}


def test_the_source_distribution_builds_the_same_wheel(built: Built) -> None:
    assert built.wheel.name == built.direct_wheel.name == f"gridferry-{gridferry.__version__}-py3-none-any.whl"
    assert files_of(built.wheel) == files_of(built.direct_wheel)


def test_the_metadata_is_valid_and_says_what_it_should(built: Built) -> None:
    raw = files_of(built.wheel)[f"gridferry-{gridferry.__version__}.dist-info/METADATA"]
    # Checks every field as the package index does, and raises for all that are wrong.
    metadata = Metadata.from_email(raw, validate=True)
    assert (metadata.name, str(metadata.version)) == ("gridferry", gridferry.__version__)
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.license_files == ["LICENSE"]
    assert metadata.requires_python is not None
    assert "3.9" not in metadata.requires_python
    assert sys.version.split()[0] in metadata.requires_python
    assert metadata.provides_extra == ["airflow", "demo", "embedded", "metrics", "report", "sqlalchemy"]
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text(encoding="utf-8")
    with tarfile.open(built.sdist) as archive:
        member = archive.extractfile(f"gridferry-{gridferry.__version__}/PKG-INFO")
        assert member is not None
        assert dict(email.message_from_bytes(member.read())) == dict(email.message_from_bytes(raw))


def test_the_core_alone_can_be_installed_and_runs(built: Built, locked: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    call(UV, "venv", "--quiet", "--python", sys.executable, environment)
    python = environment / "bin/python"
    call(UV, "pip", "install", "--quiet", "--python", python, "--constraints", locked, built.wheel)
    found = json.loads(call(python, "-W", "error", "-c", LOOK, cwd=tmp_path))
    assert found["names"] == gridferry.griddb.__all__
    assert found["migration"] == "Migration"
    assert Path(found["file"]).is_relative_to(environment)
    assert found["extras"] == []
    command = environment / "bin/gridferry"
    assert gridferry.__version__ in call(command, "--version", cwd=tmp_path)
    help_text = call(command, "--help", cwd=tmp_path)
    for name in ("load", "report", "serve"):
        assert f"\n  {name} " in help_text
        assert "Usage: gridferry" in call(command, name, "--help", cwd=tmp_path)
