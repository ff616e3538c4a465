"""What the documents of the view store have in common: structs that are kept as JSON, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import msgspec

from tallymark.store import ViewStore, change_document

__all__ = ["Document", "write_newer"]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, stored: bytes) -> Self:
        return msgspec.json.decode(stored, type=cls)

    @classmethod
    def found(cls, stored: bytes | None) -> Self | None:
        """None of a document that does not exist."""
        return None if stored is None else cls.from_json(stored)

    @classmethod
    def read(cls, store: ViewStore, name: str) -> Self | None:
        return cls.found(store.read_document(name))

    def write(self, store: ViewStore, name: str) -> None:
        store.write_document(name, self.to_json())


_D = TypeVar("_D", bound=Document)


def write_newer(store: ViewStore, name: str, new: _D, *, by: Callable[[_D], Any]) -> None:
    """Put `new` in the place of what is stored, unless that is newer `by` this measure, whoever else writes it."""

    def newer(stored: bytes | None) -> bytes | None:
        behind = stored is None or by(type(new).from_json(stored)) <= by(new)
        return new.to_json() if behind else None

    change_document(store, name, newer)
