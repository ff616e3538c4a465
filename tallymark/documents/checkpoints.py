"""Where the queries of the stream began: the documents `checkpoints/<layer>/<number>`, one for each checkpoint."""

from __future__ import annotations

from typing import Final

from tallymark.documents.document import About, Document
from tallymark.store import ViewStore

__all__ = ["BegunAt", "begin_checkpoint", "first_checkpoint", "newest_checkpoint"]

_DIGITS: Final = 6


class BegunAt(Document, frozen=True, kw_only=True, omit_defaults=True):
    """How a checkpoint began. `start`: by partition, the offset from which the log was first read.

    Of the speed layer: the `form` of what it keeps, the lateness that it goes by, and the epoch minute `since` which it
    counts what is not late.
    """

    ABOUT = About(
        kind="checkpoints/",
        touches="the stream, which cannot start. Answers go on, but nothing new comes in",
        without='write {"start":{}} in its place: the archive goes on where it was, the speed layer in a new epoch',
    )

    start: dict[int, int]
    form: int = 1
    lateness_ms: int = 0
    since: int = 0


def newest_checkpoint(store: ViewStore, layer: str) -> tuple[int, BegunAt] | None:
    """(number, where it began); None before the first."""
    known = store.list_documents(_prefix(layer))
    if not known:
        return None
    name, body = known[-1]
    return int(name.removeprefix(_prefix(layer))), BegunAt.from_json(body, name)


def first_checkpoint(store: ViewStore, layer: str) -> BegunAt | None:
    """Where all began."""
    known = store.list_documents(_prefix(layer))
    return BegunAt.from_json(known[0][1], known[0][0]) if known else None


def begin_checkpoint(store: ViewStore, layer: str, number: int, begun: BegunAt) -> bool:
    """Put a new checkpoint on record; False, and no change, when its number is taken."""
    return store.swap_document(f"{_prefix(layer)}{number:0{_DIGITS}d}", None, begun.to_json())


def _prefix(layer: str) -> str:
    return f"checkpoints/{layer}/"
