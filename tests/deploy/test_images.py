"""The Dockerfiles and scripts: linters, versions, and what goes in. Planted mistakes are found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.deploy.stack import COMPOSE, DEPLOY, DOCKERFILES, ROOT, SCRIPTS, compose, program, tool

pins = program("airflow/pins.py")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_finds_nothing(file: Path) -> None:
    done = tool("hadolint", file)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("FROM ${AIRFLOW_IMAGE}\n", "FROM apache/airflow\n", "DL3006"),
        ("apt-get install --yes --no-install-recommends", "apt-get install --yes", "DL3015"),
        ("USER 50000\n", "", "DL3002"),
        ("# hadolint ignore=DL3008\n", "", "DL3008"),
    ],
)
def test_hadolint_finds_a_planted_mistake(right: str, wrong: str, rule: str, tmp_path: Path) -> None:
    text = DOCKERFILES[0].read_text()
    assert right in text
    planted = tmp_path / "Dockerfile"
    planted.write_text(text.replace(right, wrong))
    done = tool("hadolint", planted)
    assert done.returncode == 1
    assert rule in done.stdout


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_shellcheck_finds_nothing(file: Path) -> None:
    done = tool("shellcheck", file)
    assert done.returncode == 0, done.stdout


def test_shellcheck_finds_a_planted_mistake(tmp_path: Path) -> None:
    planted = tmp_path / "start.sh"
    planted.write_text(SCRIPTS[1].read_text().replace('"$REDIS_PASSWORD"', "$REDIS_PASSWORD"))
    assert "SC2086" in tool("shellcheck", planted).stdout


def test_versions_agree() -> None:
    locked = dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', (ROOT / "uv.lock").read_text(), flags=re.M))
    airflow, griddb = (file.read_text() for file in DOCKERFILES)
    assert argument(airflow, "AIRFLOW_IMAGE") == f"apache/airflow:{locked['apache-airflow']}-python3.12"
    assert "apache-airflow-providers-jdbc" in locked
    services = compose()["services"]
    version = locked["gridferry"]
    assert {s["image"] for n, s in services.items() if n.startswith("airflow-") and n != "airflow-db"} == {
        f"gridferry-airflow:{version}"
    }
    assert services["griddb"]["image"] == f"gridferry-griddb:{argument(griddb, 'GRIDDB_VERSION')}"
    assert services["source"]["image"] == services["airflow-db"]["image"]
    built = services["airflow-worker"]["build"]["args"]["AIRFLOW_IMAGE"]
    assert built == argument(airflow, "AIRFLOW_IMAGE") + "${AIRFLOW_DIGEST:-}"
    assert services["griddb"]["build"]["args"]["BASE_IMAGE"] == argument(griddb, "BASE_IMAGE") + "${UBUNTU_DIGEST:-}"
    make = (ROOT / "Makefile").read_text()
    assert re.findall(r"^UV_VERSION := (\S+)$", make, flags=re.M) == [argument(airflow, "UV_VERSION")]


def test_what_is_downloaded_is_checked() -> None:
    airflow, griddb = (file.read_text() for file in DOCKERFILES)
    assert re.fullmatch(r"[0-9a-f]{64}", argument(airflow, "JDBC_SHA256"))
    for text in (airflow, griddb):
        assert "NOT CHECKED" not in text
        downloads = [part for part in re.split(r"^RUN ", text, flags=re.M) if part.startswith("curl ")]
        assert downloads
        assert all("sha256sum --check --strict" in part for part in downloads)


def test_no_secret_is_in_an_image() -> None:
    for file in DOCKERFILES:
        assert not re.findall(r"^(?:ENV|ARG) .*(?:PASSWORD|SECRET|FERNET|TOKEN)", file.read_text(), flags=re.M), file


def test_what_is_copied_is_in_the_context() -> None:
    """What a Dockerfile copies has to be let through by its list of what is left out."""
    for file, context in zip(DOCKERFILES, (ROOT, DEPLOY), strict=True):
        allowed = [line[1:] for line in Path(f"{file}.dockerignore").read_text().splitlines() if line.startswith("!")]
        for line in re.findall(r"^COPY (?!--from)(.*)$", file.read_text(), flags=re.M):
            for source in line.split()[:-1]:
                assert (context / source).exists(), source
                assert any(source == path or source.startswith(f"{path}/") for path in allowed), source


def test_nobody_is_root_in_the_end() -> None:
    for file in DOCKERFILES:
        users = re.findall(r"^USER (\d+)", file.read_text(), flags=re.M)
        assert users[-1] != "0", file


def test_env_is_not_committed() -> None:
    assert ".env" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_pins_leave_what_is_there() -> None:
    lines = [
        "a==1 ; python_version >= '3'\n",
        "    --hash=sha256:1\n",
        "B_c==2 \\\n",
        "    --hash=sha256:2\n",
        "d==3\n",
    ]
    found = pins.wanted(lines, there=frozenset({"b-c", "d"}), always=frozenset({"d"}))
    assert list(found) == ["a==1 ; python_version >= '3'\n", "    --hash=sha256:1\n", "d==3\n"]


@pytest.mark.parametrize("line", ["a\n", "a>=1\n", "-e .\n", "git+https://example.org/a\n"])
def test_pins_refuse_what_is_not_pinned(line: str) -> None:
    with pytest.raises(ValueError, match="not a pinned requirement"):
        list(pins.wanted([line], there=frozenset(), always=frozenset()))


def argument(text: str, name: str) -> str:
    found = re.search(rf"^ARG {name}=(\S+)$", text, flags=re.M)
    assert found is not None, name
    return found[1]


def test_the_compose_file_names_both() -> None:
    assert all(file.name in COMPOSE.read_text() for file in DOCKERFILES)
