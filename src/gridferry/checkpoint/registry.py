"""The migrations of a target, in the state container: one document each, under the key that all else of it carries.

A key is made of the config's `name`, or else of the source's origin: so two runs that begin the same migration at the
same moment write the same document. It stays when the migration gets another origin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import count

from gridferry.checkpoint.documents import STATE_CONTAINER, Document, DocumentStore, utc_now
from gridferry.errors import CheckpointError
from gridferry.model.decoding import decoded, readable, require_version
from gridferry.model.migration import DatabaseOrigin, MigrationEntry

REGISTRY_VERSION = 1
_SCOPE = "migrations"
_OLD_SCOPE = "load:"
_DIGITS = 12


class Registry:
    """The entries. `documents` are those of the whole target, not of one migration."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    def all(self) -> list[MigrationEntry]:
        """Every migration, the oldest first. Raises: CheckpointError for another version's state, or a broken one."""
        items = self._documents.items(_SCOPE)
        if not items:
            self._require_new()
        return sorted((_entry(key, d) for key, d in items.items()), key=lambda e: (e.created_at, e.key))

    def get(self, key: str) -> MigrationEntry | None:
        """The migration of that key, or None. Raises: as `all`."""
        document = self._documents.get(_SCOPE, key)
        return None if document is None else _entry(key, document)

    def find(self, name: str, origin: DatabaseOrigin | None) -> MigrationEntry | None:
        """The migration of that name, whatever its origin; without a name, the one of that origin that has none.

        Raises: as `all`.
        """
        for entry in self.all():
            if entry.name == name and (name or entry.origin == origin):
                return entry
        return None

    def proposed(self, name: str, origin: DatabaseOrigin) -> MigrationEntry:
        """What a migration would be entered as that is not known yet: with the first of its keys that is free."""
        known = {entry.key for entry in self.all()}
        return MigrationEntry(next(key for key in keys_of(name, origin) if key not in known), name, origin)

    def begin(self, entry: MigrationEntry) -> MigrationEntry:
        """Enter a migration, and bring that to disk. Returns the entry as it is then: another run may have been first.

        Raises: CheckpointError if the key was given to another migration meanwhile.
        """
        found = self.get(entry.key)
        if found is None:
            made = replace(entry, created_at=utc_now())
            self._documents.insert(_SCOPE, entry.key, _document(made))
            found = self.get(entry.key)
        if found is None or (found.name, found.origin) != (entry.name, entry.origin):
            raise CheckpointError(
                f"{entry} began at the same moment as {found or 'another one'}",
                state="nothing was written",
                next_step="run the same command again",
            )
        return found

    def rebase(self, key: str, origin: DatabaseOrigin) -> MigrationEntry:
        """Write that a migration's database is another one from now on. Returns the entry as it is then.

        Raises: CheckpointError for a key that is not known, or if another migration without a name has that origin.
        """
        entry = self.get(key)
        if entry is None:
            raise CheckpointError(f"there is no migration {key} in this target", state="nothing was changed")
        other = None if entry.name else self.find("", origin)
        if other is not None and other.key != key:
            raise CheckpointError(
                f"{other} has rows in this target of its own",
                state="nothing was changed",
                next_step="give one of the two a `name` in its config",
            )
        after = replace(entry, origin=origin)
        self._documents.put(_SCOPE, {key: _document(after)})
        return after

    def forget(self, key: str) -> None:
        """Delete an entry. Only after everything that carries its key is gone."""
        self._documents.delete(_SCOPE, [key])

    def _require_new(self) -> None:
        old = sorted(scope.removeprefix(_OLD_SCOPE) for scope in self._documents.scopes(_OLD_SCOPE))
        if old:
            raise CheckpointError(
                f"the state of {old[0]} in {STATE_CONTAINER} was written by an older gridferry, which did not say "
                "one source from another",
                state="nothing was changed",
                next_step="use the gridferry that wrote it; or drop its containers and gridferry's own four "
                "(gridferry_state, gridferry_catalog, gridferry_quarantine, gridferry_journal), and load again",
            )


def keys_of(name: str, origin: DatabaseOrigin) -> Iterator[str]:
    """The keys that a migration may have, in the order in which they are tried. Without end."""
    whole = f"name\n{name}" if name else f"origin\n{origin.system}\n{origin.oid}"
    for number in count():
        text = f"{whole}\n{number}" if number else whole
        yield hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _document(entry: MigrationEntry) -> Document:
    return {"version": REGISTRY_VERSION, **{k: v for k, v in asdict(entry).items() if k != "key"}}


def _entry(key: str, document: Document) -> MigrationEntry:
    what = f"the migration {key[:60]} in {STATE_CONTAINER}"
    fields = require_version(document, REGISTRY_VERSION, what=what, next_step="use the gridferry that wrote it")
    return readable(
        what, lambda: decoded(MigrationEntry, fields, key=key), next_step=f"restore {STATE_CONTAINER} from a backup"
    )
