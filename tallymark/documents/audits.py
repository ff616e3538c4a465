"""The documents of audits in the view store: `audits/<number>`, and `audited`, which says how far they have come.

Two audits at once take different numbers, and the pointer only moves on: both by compare-and-set.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tallymark.documents.audit_record import AuditRecord
from tallymark.documents.document import About, Document
from tallymark.store import ViewStore, change_document

__all__ = ["Last", "keep", "last_audit", "latest", "move_on", "next_number", "read", "replace"]

_PREFIX: Final = "audits/"
_POINTER: Final = "audited"


class Last(Document, frozen=True):
    """The newest audit of newly sealed hours: all before `until` (epoch minutes), as of `version`, was compared.

    All that the log took before `checked_ms` was looked through for holes.
    """

    ABOUT = About(
        kind=_POINTER,
        touches="audits, which do not know where to begin. Answers and recounts go on",
        without="remove it: the next audit begins with the first hour",
    )

    number: int
    version: int
    until: int
    checked_ms: int = 0


def last_audit(store: ViewStore) -> Last | None:
    return Last.read(store, _POINTER)


def read(store: ViewStore, number: int) -> AuditRecord | None:
    return AuditRecord.read(store, _name(number))


def latest(store: ViewStore, count: int) -> list[AuditRecord]:
    """The last `count` audits, oldest first."""
    # of audits of asked ranges, some are newer than the one that the pointer names
    last = last_audit(store)
    known = store.list_documents(_PREFIX, after=_name(max(0, last.number - count) if last else 0))
    return [AuditRecord.from_json(body, name) for name, body in known[max(0, len(known) - count) :]]


def next_number(store: ViewStore) -> int:
    """1 + the highest number taken. Walks on from the one that the pointer names, since asked ranges do not move it."""
    last = last_audit(store)
    taken = store.list_documents(_PREFIX, after=_name(last.number) if last else "")
    return 1 + max([last.number if last else 0, *(int(name.removeprefix(_PREFIX)) for name, _ in taken)])


def keep(store: ViewStore, record: AuditRecord) -> AuditRecord:
    """Put the record on file under the next free number, and return it with that number."""
    while True:
        numbered = msgspec.structs.replace(record, number=next_number(store))
        if store.swap_document(_name(numbered.number), None, numbered.to_json()):
            return numbered


def replace(store: ViewStore, record: AuditRecord) -> None:
    record.write(store, _name(record.number))


def move_on(store: ViewStore, to: Last) -> None:
    """Let the next audit begin where this one ended, unless another has gone further meanwhile."""

    def further(stored: bytes | None) -> bytes | None:
        at = Last.found(stored, _POINTER)
        if at is None or at.version < to.version:
            return to.to_json()
        new = msgspec.structs.replace(at, checked_ms=max(at.checked_ms, to.checked_ms))
        return None if new == at else new.to_json()

    change_document(store, _POINTER, further)


def _name(number: int) -> str:
    return f"{_PREFIX}{number:08d}"
