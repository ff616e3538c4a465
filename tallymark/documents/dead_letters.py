"""Dead letters: records of the log that are not events, kept with their bytes, place and reason. Nothing is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from tallymark.documents.document import About, reading
from tallymark.store import ViewStore

__all__ = ["DeadLetter", "bury", "dead_letters"]

_PREFIX: Final = "dead-letters/"
_DOCUMENT_BYTES: Final = 500_000


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """`appended_at` in epoch milliseconds; `field` is None when the record as a whole is not an event."""

    log_partition: int
    log_offset: int
    appended_at: int
    reason: str
    field: str | None
    record: bytes

    @property
    def appended(self) -> datetime:
        return datetime.fromtimestamp(self.appended_at / 1000, UTC)


def bury(store: ViewStore, letters: Sequence[DeadLetter]) -> None:
    """Keep `letters`, of one partition and in the order of their offsets, in as few documents as is sensible.

    Documents are named by the first place that they hold, so that burying the same letters again changes nothing.
    """
    for chunk in _chunks(letters):
        name = f"{_PREFIX}{chunk[0].log_partition:05d}-{chunk[0].log_offset:020d}"
        store.write_document(name, msgspec.json.encode(chunk))


def dead_letters(store: ViewStore) -> Iterator[DeadLetter]:
    """All dead letters by partition and offset, each place once."""
    last = (-1, -1)
    for name, body in store.list_documents(_PREFIX):
        with reading(About(name, "the list of dead letters, and no count", "remove it: its records are lost")):
            letters = msgspec.json.decode(body, type=list[DeadLetter])
        for letter in letters:
            place = (letter.log_partition, letter.log_offset)
            if place > last:
                last = place
                yield letter


def _chunks(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    chunk: list[DeadLetter] = []
    size = 0
    for letter in letters:
        if chunk and size + len(letter.record) > _DOCUMENT_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(letter)
        size += len(letter.record)
    if chunk:
        yield chunk
