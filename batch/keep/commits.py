"""Asking the archive for a commit: it commits every `archive_trigger`, and a recount counts what is committed.

A recount by hand asks where it would find nothing; one that comes by itself where it would leave something out, so that
what came late waits for the pace of the recounts alone (ADR 52).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from tallymark.cells import STEP_MS
from tallymark.documents.progress import ARCHIVE, SPEED, ask_for_commit, read_progress
from tallymark.errors import NothingToRecount, Unavailable
from tallymark.instants import utc_now
from tallymark.store import ViewStore
from tallymark.store.lease import held_since

__all__ = ["commit_what_came", "commit_what_was_sent", "once_committed"]

_WITHIN: Final = timedelta(seconds=60)
_SOON: Final = timedelta(seconds=20)
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
    say("no raw events yet: the archive was asked to commit what was sent, and is waited for …")
    if _commit(store, asked_at, now=now, sleep=sleep, within=within):
        return count()
    if not _is_archiving(store):
        raise NothingToRecount("the stream ended before it had archived anything; see its log, and `tallymark status`")
    raise Unavailable(
        f"the archive has not committed within {within.total_seconds():.0f} s: `tallymark status` and the log of the "
        f"stream say why; then recompute again"
    )


def commit_what_came(
    store: ViewStore,
    *,
    now: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], object] = time.sleep,
    within: timedelta = _SOON,
) -> None:
    """Have the archive commit what the speed layer has read and raw does not hold, and wait for it `within` that time.

    Asks nobody where there is no such thing, or where no stream runs. An archive that does not get on says so in its
    own log: a recount counts what there is.
    """
    if _is_behind(store) and _is_archiving(store):
        _commit(store, now(), now=now, sleep=sleep, within=within)


def commit_what_was_sent(
    store: ViewStore,
    *,
    now: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], object] = time.sleep,
    within: timedelta = _SOON,
) -> None:
    """The same of all that was acknowledged before the call, up to the end of its step of the log's time.

    Nobody is asked where no stream runs.
    """
    if _is_archiving(store):
        sleep(STEP_MS / 1000)
        _commit(store, now(), now=now, sleep=sleep, within=within)


def _commit(
    store: ViewStore,
    asked_at: datetime,
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], object],
    within: timedelta,
) -> bool:
    """Whether the archive commits what came before `asked_at`; not when it ends, or takes longer than `within`."""
    ask_for_commit(store, at=asked_at)
    while not _has_committed(store, asked_at):
        if not _is_archiving(store) or now() - asked_at > within:
            return False
        sleep(_PAUSE)
    return True


def _is_behind(store: ViewStore) -> bool:
    read, archived = read_progress(store, SPEED), read_progress(store, ARCHIVE)
    if read is None:
        return False
    committed = archived.positions if archived else {}
    return any(position > committed.get(partition, 0) for partition, position in read.positions.items())


def _is_archiving(store: ViewStore) -> bool:
    """The stream holds the lease from before it starts Spark until it ends."""
    return held_since(store, "archive") is not None


def _has_committed(store: ViewStore, asked_at: datetime) -> bool:
    progress = read_progress(store, ARCHIVE)
    return progress is not None and progress.included_until > asked_at
