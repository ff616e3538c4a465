"""A recount right after the first post: it asks the archive for a commit, waits, and says when that is in vain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from batch.keep.first_commit import once_committed
from tallymark.documents.progress import ARCHIVE, Progress, commit_asked_at
from tallymark.errors import NothingToRecount, Unavailable
from tallymark.instants import instant
from tallymark.store.lease import holding
from tallymark.store.sqlite import SqliteViewStore
from tests.support.recounts import MIDNIGHT

NOON = instant(MIDNIGHT + 720)
ON_TIME, NEVER = 3.0, 1e9


class Archive:
    """Commits `after` so many seconds of a clock that goes on while somebody sleeps."""

    def __init__(self, store: SqliteViewStore, *, after: float, holds: int) -> None:
        self.store = store
        self.now = NOON
        self.said: list[str] = []
        self.counts = 0
        self._commits_at = NOON + timedelta(seconds=min(after, 10**6))
        self._holds = holds

    def count(self) -> str:
        """Finds something once the archive has committed, if anything was sent at all."""
        self.counts += 1
        if self.now < self._commits_at or not self._holds:
            raise NothingToRecount("no raw events yet")
        return "counted"

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.now >= self._commits_at:
            Progress(positions={0: self._holds}, included_until=self.now).write(self.store, ARCHIVE)

    def clock(self) -> datetime:
        return self.now

    def once_committed(self, *, sleep: Callable[[float], object] | None = None) -> str:
        return once_committed(self.store, self.count, say=self.said.append, now=self.clock, sleep=sleep or self.sleep)


def test_what_can_be_counted_at_once_asks_nobody(store: SqliteViewStore) -> None:
    archive = Archive(store, after=0, holds=1)
    assert archive.once_committed() == "counted"
    assert (archive.said, commit_asked_at(store)) == ([], None)


def test_the_archive_is_asked_and_waited_for(store: SqliteViewStore) -> None:
    archive = Archive(store, after=ON_TIME, holds=1)
    with holding(store, "archive"):
        assert archive.once_committed() == "counted"
    assert (archive.counts, commit_asked_at(store)) == (2, NOON)
    assert len(archive.said) == 1
    assert NOON + timedelta(seconds=ON_TIME) <= archive.now < NOON + timedelta(seconds=ON_TIME + 1)


def test_where_no_stream_runs_it_ends_at_once(store: SqliteViewStore) -> None:
    archive = Archive(store, after=NEVER, holds=1)
    with pytest.raises(NothingToRecount, match="no raw events yet"):
        archive.once_committed()
    assert (archive.now, commit_asked_at(store)) == (NOON, None)


def test_where_nothing_was_sent_it_says_so_once_the_archive_has_looked(store: SqliteViewStore) -> None:
    archive = Archive(store, after=ON_TIME, holds=0)
    with holding(store, "archive"), pytest.raises(NothingToRecount, match="no raw events yet"):
        archive.once_committed()
    assert archive.counts == 2


def test_a_stream_that_ends_meanwhile_is_not_waited_for(store: SqliteViewStore) -> None:
    archive = Archive(store, after=NEVER, holds=1)
    with holding(store, "archive") as lease, pytest.raises(NothingToRecount, match="the stream ended"):
        archive.once_committed(sleep=lambda _: lease.give_back())
    assert archive.now == NOON


def test_a_stream_that_does_not_commit_is_told_of_after_a_minute(store: SqliteViewStore) -> None:
    archive = Archive(store, after=NEVER, holds=1)
    with holding(store, "archive"), pytest.raises(Unavailable, match="not committed within 60 s"):
        archive.once_committed()
    assert timedelta(seconds=60) < archive.now - NOON < timedelta(seconds=61)
