"""Letting readers see a version: the one that was just counted, or an older one again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from tallymark.documents import publication
from tallymark.documents.coverage import missing_before
from tallymark.documents.publication import Publication
from tallymark.errors import PublicationConflict
from tallymark.store import ViewStore

__all__ = ["publish_version", "rollback"]

_INSTANT = timedelta(milliseconds=1)


def publish_version(
    store: ViewStore,
    *,
    version: int,
    exact_until: datetime,
    raw_version: int,
    counted_until: datetime | None,
    replacing: Publication,
    now: Callable[[], datetime],
) -> Publication:
    """Publish a version that was counted on top of `replacing`, with the epoch that readers see by then.

    It says how many events are known to be missing before its exact_until: the boundary passes no hole in silence.

    Raises PublicationConflict when another version was published, or this one again, since `replacing` was read.
    """
    while True:
        at = publication.current(store)
        if msgspec.structs.replace(at, epoch=replacing.epoch) != replacing:
            raise PublicationConflict(
                f"version {version} was counted but not published: it continues version {replacing.version}, and "
                f"meanwhile version {at.version} was published; recompute again, it starts from there"
            )
        new = Publication(
            version=version,
            exact_until=exact_until,
            raw_version=raw_version,
            counted_until=counted_until,
            epoch=at.epoch,
            published_at=_after(at, now()),
            missing=missing_before(store, exact_until),
        )
        if _swapped(store, new, at):
            return new


def rollback(store: ViewStore, version: int, *, now: Callable[[], datetime]) -> Publication:
    """Publish version `version` again. The next recompute counts on from there. Raises UnknownVersion."""
    while True:
        at = publication.current(store)
        target = publication.version(store, version)
        if target.version == at.version:
            return at
        missing = missing_before(store, target.exact_until)
        new = msgspec.structs.replace(target, epoch=at.epoch, published_at=_after(at, now()), missing=missing)
        if _swapped(store, new, at):
            return new


def _swapped(store: ViewStore, new: Publication, expected: Publication) -> bool:
    try:
        publication.publish(store, new, expected=expected)
    except PublicationConflict:
        return False
    return True


def _after(at: Publication, now: datetime) -> datetime:
    """Now, but later than the publication before, also by a clock that went back: the history is sorted by it."""
    return max(now, at.published_at + _INSTANT)
