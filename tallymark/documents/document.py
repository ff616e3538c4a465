"""What the documents of the view store have in common: structs that are kept as JSON, each under a name of its own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self, TypeVar

import msgspec

from tallymark.errors import Damaged
from tallymark.store import ViewStore, change_document

__all__ = ["About", "Document", "reading", "write_newer"]

_UNREADABLE: Final = (ValueError, zlib.error, RecursionError)  # msgspec's errors are ValueErrors


class About(NamedTuple):
    """What is told of a document that is damaged. `kind`: its name, or how its names begin; `touches`: what of the
    system; `without`: what to do where there is no backup."""

    kind: str
    touches: str
    without: str


class Document(msgspec.Struct, frozen=True, kw_only=True):
    ABOUT = About("", "", "")  # each kind has its own; without a type, since it is no field

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, stored: bytes, name: str | None = None) -> Self:
        """Raises Damaged, by its `name` where that is told, when it is not what was written."""
        try:
            return msgspec.json.decode(stored, type=cls)
        except _UNREADABLE as error:
            raise _damaged(cls.ABOUT if name is None else cls.ABOUT._replace(kind=name), error) from None

    @classmethod
    def found(cls, stored: bytes | None, name: str | None = None) -> Self | None:
        """None of a document that does not exist."""
        return None if stored is None else cls.from_json(stored, name)

    @classmethod
    def read(cls, store: ViewStore, name: str) -> Self | None:
        return cls.found(store.read_document(name), name)

    @classmethod
    def read_all(cls, store: ViewStore, prefix: str, *, after: str = "") -> dict[str, Self]:
        """By name, in that order."""
        return {name: cls.from_json(body, name) for name, body in store.list_documents(prefix, after=after)}

    def write(self, store: ViewStore, name: str) -> None:
        store.write_document(name, self.to_json())


@contextmanager
def reading(about: About) -> Iterator[None]:
    """What decoding the document of that name raises inside becomes Damaged."""
    try:
        yield
    except _UNREADABLE as error:
        raise _damaged(about, error) from None


def _damaged(about: About, error: BaseException) -> Damaged:
    return Damaged(
        f"the document {about.kind} of the view store cannot be read: {error}",
        touches=about.touches,
        remedy=f"put it back from a backup of the view store. Without one, {about.without} (docs/operations.md, "
        f'"Damaged files", says how)',
    )


_D = TypeVar("_D", bound=Document)


def write_newer(store: ViewStore, name: str, new: _D, *, by: Callable[[_D], Any]) -> None:
    """Put `new` in the place of what is stored, unless that is newer `by` this measure, whoever else writes it."""

    def newer(stored: bytes | None) -> bytes | None:
        behind = stored is None or by(type(new).from_json(stored, name)) <= by(new)
        return new.to_json() if behind else None

    change_document(store, name, newer)
