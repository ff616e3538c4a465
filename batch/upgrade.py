"""A view store of another layout is recounted into a new one, while the old one goes on answering.

    tallymark recompute --into sqlite:/srv/counts/views-2.sqlite      # again and again, as long as one likes
    tallymark down; export TALLYMARK_STORE=sqlite:/srv/counts/views-2.sqlite; tallymark up

What the new store cannot count from raw is carried over: how far the archive is and where its checkpoint began, dead
letters, and what audits, imports and the canary know. The speed layer begins a new epoch there, from exact_until on.
"""

from __future__ import annotations

from typing import Final

from tallymark.documents.checkpoints import BegunAt, begin_checkpoint, newest_checkpoint
from tallymark.store import ViewStore

__all__ = ["carry_over"]

_CARRIED: Final = (
    "progress/archive",
    "checkpoints/",
    "dead-letters/",
    "dead-letters-sent/",
    "coverage/",
    "evidence/",
    "canary/",
    "imports/",
)


def carry_over(old: ViewStore, new: ViewStore) -> None:
    """Write the documents of `old` into `new` that a stream must find there. May be repeated."""
    known = newest_checkpoint(new, "speed")
    for prefix in _CARRIED:
        for name, body in old.list_documents(prefix):
            new.write_document(name, body)
    newest = newest_checkpoint(old, "speed")
    if newest and (known is None or known[0] <= newest[0]):
        # on record without a folder, so that the next start begins another: this view lacks what those before counted
        begin_checkpoint(new, "speed", newest[0] + 1, BegunAt(start={}))
