"""What the gateway answers about one post and a client reads: what was taken, and why the rest was not."""

from __future__ import annotations

import msgspec

__all__ = ["Rejection", "Verdict"]


class Rejection(msgspec.Struct, frozen=True):
    """`index` counts the events of the post from 0; `field` is None when the record as a whole is not an event."""

    index: int
    field: str | None
    reason: str


class Verdict(msgspec.Struct, frozen=True):
    """`accepted` events are durable in the log; each of the others has a rejection, in the order of the post."""

    accepted: int
    rejected: tuple[Rejection, ...] = ()
