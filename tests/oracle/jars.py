"""GridDB's own client jars: from GRIDFERRY_TEST_JARS, else fetched with Maven into `.tools/jars` of the checkout."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".tools" / "jars"
VERSIONS = ("5.9.0", "5.8.0", "5.7.0", "5.6.0")
JDBC_VERSION = "5.6.0"  # the newest on Maven Central
CLIENT_CLASS = "com/toshiba/mwcloud/gs/GridStoreFactory.class"
WANT_A_CONFIG_FILE = ("gridstore-conf", "gridstore-call-logging")
"""GridDB's build puts these beside the client; on the class path they refuse to start without a file of their own."""
OLDEST_JAVA = 17
FETCH_LIMIT_S = 120


@dataclass(frozen=True)
class Java:
    """The class path of GridDB's client; when it is empty, `why` says what is missing, else where it came from."""

    classpath: str
    why: str


@cache
def find_jdbc() -> Java:
    """GridDB's JDBC driver beside the client that `find_java` finds, or the sentence that says why there is none."""
    if not find_java().classpath:
        return find_java()
    named = f"gridstore-jdbc-{JDBC_VERSION}.jar"
    jar = CACHE / named
    maven = shutil.which("mvn")
    if not jar.is_file() and maven is None:
        return Java("", f"there is no mvn on PATH to fetch {named}")
    if not jar.is_file() and maven is not None:
        _copy(maven, f"com.github.griddb:gridstore-jdbc:{JDBC_VERSION}")
    return Java(str(jar), named) if jar.is_file() else Java("", f"Maven gave no {named}")


def _copy(maven: str, artifact: str) -> None:
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=FETCH_LIMIT_S, check=False)


@cache
def find_java() -> Java:
    """GridDB's client jar and a Java that compiles, or the sentence that says which is missing."""
    javac = shutil.which("javac")
    if javac is None:
        return Java("", "no Java development kit (javac) on PATH")
    said = subprocess.run([javac, "-version"], capture_output=True, text=True, check=False).stdout
    if int(said.removeprefix("javac ").split(".")[0] or 0) < OLDEST_JAVA:
        return Java("", f"the judge needs Java {OLDEST_JAVA} or newer; javac says {said.strip()!r}")
    named = os.environ.get("GRIDFERRY_TEST_JARS")
    if named:
        jars = [jar for part in named.split(os.pathsep) for jar in _jars_at(Path(part))]
        if not any(map(_holds_client, jars)):
            return Java("", f"GRIDFERRY_TEST_JARS={named} holds no jar with {CLIENT_CLASS}")
        clients = ", ".join(jar.name for jar in jars if jar.name.startswith("gridstore"))
        return Java(os.pathsep.join(map(str, jars)), f"{clients} of GRIDFERRY_TEST_JARS ({len(jars)} jars)")
    return _fetched()


def _jars_at(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(jar for jar in place.glob("*.jar") if not jar.name.startswith(WANT_A_CONFIG_FILE))
    return [place] if place.is_file() else []


def _holds_client(jar: Path) -> bool:
    with zipfile.ZipFile(jar) as packed:
        return CLIENT_CLASS in packed.namelist()


def _fetched() -> Java:
    for version in VERSIONS:
        jar = CACHE / f"gridstore-{version}.jar"
        if jar.is_file():
            return Java(str(jar), f"{jar.name} from the local cache")
    maven = shutil.which("mvn")
    if maven is None:
        return Java("", "GRIDFERRY_TEST_JARS is not set and there is no mvn on PATH to fetch GridDB's client")
    for version in VERSIONS:
        artifact = f"-Dartifact=com.github.griddb:gridstore:{version}"
        command = [maven, "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={CACHE}"]
        try:
            subprocess.run(command, capture_output=True, timeout=FETCH_LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            return Java("", f"Maven did not answer within {FETCH_LIMIT_S} s")
        jar = CACHE / f"gridstore-{version}.jar"
        if jar.is_file():
            return Java(str(jar), f"{jar.name} fetched with Maven")
    return Java("", f"Maven has none of com.github.griddb:gridstore {', '.join(VERSIONS)}")
