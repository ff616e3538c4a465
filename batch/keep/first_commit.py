"""A recount right after the first post: the archive has committed nothing yet, so it is asked to, and waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tallymark.documents.progress import ARCHIVE, ask_for_commit, read_progress
from tallymark.errors import NothingToRecount, Unavailable
from tallymark.instants import utc_now
from tallymark.store import ViewStore
from tallymark.store.lease import held_since

__all__ = ["once_committed"]

_WITHIN: Final = timedelta(seconds=60)
_PAUSE: Final = 0.2
_T = TypeVar("_T")


def once_committed(
    store: ViewStore,
    count: Callable[[], _T],
    *,
    say: Callable[[str], None],
    now: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], object] = time.sleep,
    within: timedelta = _WITHIN,
) -> _T:
    """What `count` returns; when there is nothing to count yet, once the archive has all that was sent before the call.

    Raises NothingToRecount at once where no stream runs, and afterwards where nothing was sent; Unavailable when the
    archive has not committed `within` that time.
    """
    asked_at = now()
    try:
        return count()
    except NothingToRecount:
        if not _is_archiving(store):
            raise
    ask_for_commit(store, at=asked_at)
    say("no raw events yet: the archive was asked to commit what was sent, and is waited for …")
    while not _has_committed(store, asked_at):
        if not _is_archiving(store):
            raise NothingToRecount(
                "the stream ended before it had archived anything; see its log, and `tallymark status`"
            )
        if now() - asked_at > within:
            raise Unavailable(
                f"the archive has not committed within {within.total_seconds():.0f} s: `tallymark status` and the log "
                f"of the stream say why; then recompute again"
            )
        sleep(_PAUSE)
    return count()


def _is_archiving(store: ViewStore) -> bool:
    """The stream holds the lease from before it starts Spark until it ends."""
    return held_since(store, "archive") is not None


def _has_committed(store: ViewStore, asked_at: datetime) -> bool:
    progress = read_progress(store, ARCHIVE)
    return progress is not None and progress.included_until > asked_at
