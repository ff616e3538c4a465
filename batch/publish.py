"""Letting readers see the version that was just counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from tallymark.documents import publication
from tallymark.documents.coverage import missing_before
from tallymark.documents.publication import Publication
from tallymark.errors import PublicationConflict
from tallymark.store import ViewStore

__all__ = ["publish_version"]


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
            published_at=publication.after(at, now()),
            missing=missing_before(store, exact_until),
        )
        if publication.published(store, new, expected=at):
            return new
