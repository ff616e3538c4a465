"""Dead letters: records of the log that are not events, kept with their bytes, place and reason. Nothing is dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from tallymark.documents.document import About, reading
from tallymark.store import ViewStore

__all__ = ["DeadLetter", "Place", "Sent", "bury", "dead_letters", "note_sent", "sent_letters"]

_PREFIX: Final = "dead-letters/"
_SENT: Final = "dead-letters-sent/"
_DOCUMENT_BYTES: Final = 500_000


Place = tuple[int, int]
"""The partition and offset of a record in the log."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """`appended_at` in epoch milliseconds; `field` is None when the record as a whole is not an event."""

    log_partition: int
    log_offset: int
    appended_at: int
    reason: str
    field: str | None
    record: bytes

    @property
    def place(self) -> Place:
        return self.log_partition, self.log_offset

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
    last: Place = (-1, -1)
    for name, body in store.list_documents(_PREFIX):
        with reading(About(name, "the list of dead letters, and no count", "remove it: its records are lost")):
            letters = msgspec.json.decode(body, type=list[DeadLetter])
        for letter in letters:
            if letter.place > last:
                last = letter.place
                yield letter


class Sent(msgspec.Struct, frozen=True, array_like=True):
    """The event that was made of a dead letter, as a record, and whether the gateway has it by now."""

    log_partition: int
    log_offset: int
    event: bytes
    done: bool

    @property
    def place(self) -> Place:
        return self.log_partition, self.log_offset


def note_sent(store: ViewStore, sent: Sequence[Sent], *, name: str) -> None:
    """Put on record, under a `name` of their own, what is about to be sent, and again once the gateway has answered.
    An event that was refused is left out then: its letter may be mended anew."""
    store.write_document(f"{_SENT}{name}", msgspec.json.encode(sent))


def sent_letters(store: ViewStore) -> Iterator[tuple[str, list[Sent]]]:
    """(name, what was put on record under it), by name."""
    for name, body in store.list_documents(_SENT):
        without = "remove it: its events may be sent again, and are counted once if they are the same"
        with reading(About(name, "the replay of dead letters, and no count", without)):
            sent = msgspec.json.decode(body, type=list[Sent])
        yield name.removeprefix(_SENT), sent


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
