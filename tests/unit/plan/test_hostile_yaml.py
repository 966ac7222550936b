"""Config files that mean harm, or are no files: one ConfigError each, and no memory or time taken for them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gridferry.errors import ConfigError
from gridferry.plan.config import load_config, parse_config
from gridferry.plan.yaml_text import MOST_BYTES, MOST_VALUES, parse_yaml

TARGET = "target: griddb://a@h:1/c\n"
_ENOUGH = 1 << 30  # bytes of address space: what the interpreter with pydantic takes, and no more than that again
_ENOUGH_S = 20  # seconds of processor time

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcdefghij"
)
LONG_BOMB = "a: &a " + "x" * 900_000 + "\nb: [" + ",".join(["*a"] * 10_000) + "]\n"

HOSTILE = {
    "anchors that explode": BOMB,
    "a long text named often": LONG_BOMB,
    "an anchor within itself": "a: &a [*a]\n",
    "a mapping within itself": "a: &a {b: *a}\n",
    "a bad integer": "source: !!int hunter2\n",
    "a bad float": "source: !!float x\n",
    "a bad truth": "source: !!bool perhaps\n",
    "a null that is none": "source: !!null x\n",
    "bad base 64": "source: !!binary ä\n",
    "good base 64": "source: !!binary aGVsbG8=\n",
    "a bad time": "source: !!timestamp 2026-99-99\n",
    "a set": "source: !!set {a, b}\n",
    "an ordered mapping": "source: !!omap [a: b]\n",
    "Python": "source: !!python/object/apply:os.system ['true']\n",
    "a tag of one's own": "source: !secret x\n",
    "a mapping that is called a text": "source: !!str {a: b}\n",
    "an integer of 6,000 digits": "source: x\nverify: " + "9" * 6000 + "\n",
    "a decimal of 6,000 digits": "source: " + "9" * 6000 + ".5\n",
    "6,000 digits with a tag": "source: !!int " + "9" * 6000 + "\n",
    "deep brackets": "a: " + "[" * 300_000,
    "deep braces": "a: " + "{a: " * 100_000,
    "deep dashes": "- " * 100_000 + "x",
    "deep keys": "? " * 100_000 + "x",
    "deep blanks": "".join(f"{' ' * n}a:\n" for n in range(200)),
    "NUL": "source: x\0\n",
    "NUL by escape": 'source: "x\\0y"\n',
    "half a character by escape": 'source: "\\ud800"\n',
    "no character by escape": 'source: "\\UFFFFFFFF"\n',
    "a directive of many digits": "%YAML " + "1" * 6000 + ".1\n---\na: b\n",
    "two documents": "a: b\n---\nc: d\n",
    "a merge": "a: &a {x: y}\nb: {<<: *a}\n",
    "a key twice": "source: a\nsource: b\n",
    "a key that is a list": "? [a, b]\n: c\n",
    "a tab": "tables:\n\t- table: t\n",
    "too many values": "a: [" + "x," * MOST_VALUES + "]\n",
    "too large": "a: " + "x" * MOST_BYTES,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.slow
def test_a_hostile_text_is_one_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, name="it.yaml")
    assert caught.value.message.startswith("it.yaml")
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.message) < 300
    assert caught.value.next_step


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.slow
def test_a_hostile_file_ends_within_little_memory_and_time(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gridferry.yaml"
    file.write_text(text)
    _refused(file)


def test_what_anchors_are_good_for_still_works() -> None:
    text = "source: x\n" + TARGET + "tables:\n  - table: a\n    key: &key [d, t]\n  - {table: b, key: *key}\n"
    tables = parse_config(text, env={}).tables
    assert [t.key for t in tables] == [("d", "t"), ("d", "t")]


def test_plain_tags_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    assert parse_yaml("a: !!str 5\nb: !!int 5\nd: !!null\n", name="it") == {"a": "5", "b": 5, "d": None}
    file = tmp_path / "gridferry.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + f"source: x\n{TARGET}tables: [{{table: t}}]\n".encode())
    assert load_config(file, env={}).tables[0].table == "t"


@pytest.mark.parametrize("kind", ["device", "fifo", "directory", "huge", "utf-16", "latin"])
@pytest.mark.slow
def test_a_config_that_is_no_small_text_file(tmp_path: Path, kind: str) -> None:
    _refused(_thing(tmp_path, kind))


@pytest.mark.parametrize("kind", ["device", "fifo", "directory", "huge", "utf-16", "latin", "name", "missing", "nul"])
@pytest.mark.slow
def test_a_password_file_that_is_no_small_text_file(tmp_path: Path, kind: str) -> None:
    thing = {"name": "a\\0b", "missing": str(tmp_path / "none")}.get(kind) or str(_thing(tmp_path, kind))
    config = tmp_path / "gridferry.yaml"
    target = f'{{url: "griddb://a@h:1/c", password_file: "{thing}"}}'
    config.write_text(f"source: x\ntarget: {target}\ntables: [{{table: t}}]\n")
    said = _refused(config)
    assert kind == "name" or "target.password_file" in said


def test_a_password_file_that_others_can_read_is_told_once(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    text = f"source: x\ntarget: {{url: 'griddb://a@h:1/c', password_file: '{secret}'}}\ntables: [{{table: t}}]\n"
    for mode, expected in ((0o600, 0), (0o400, 0), (0o640, 1), (0o604, 1)):
        secret.chmod(mode)
        warnings = parse_config(text, env={}).warnings
        assert len(warnings) == expected
        assert all(f"chmod 600 {secret}" in warning for warning in warnings)


def _thing(folder: Path, kind: str) -> Path:
    if kind == "device":
        return Path("/dev/zero")
    path = folder / "thing"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        with path.open("wb") as opened:
            opened.truncate(1 << 40)
    else:
        path.write_bytes({"utf-16": "source: x\n".encode("utf-16"), "latin": b"source: \xff\n", "nul": b"a\0b"}[kind])
    return path


def _refused(file: Path) -> str:
    """Load a config in a process with little memory and time; what its one ConfigError says."""
    code = (
        "import sys\n"
        "from gridferry.errors import ConfigError\n"
        "from gridferry.plan.config import load_config\n"
        "try:\n    load_config(sys.argv[1], env={})\n"
        "except ConfigError as error:\n    print(error)\n    sys.exit(2)\n"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (_ENOUGH, _ENOUGH))
        resource.setrlimit(resource.RLIMIT_CPU, (_ENOUGH_S, _ENOUGH_S))

    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], preexec_fn=limited, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr[-2000:]
    return done.stdout
