"""A recount asks the archive for a commit, right after the first post or by itself: it waits, but not for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from batch.keep.commits import commit_what_came, commit_what_was_sent, once_committed
from tallymark.cells import STEP_MS
from tallymark.documents.progress import ARCHIVE, SPEED, Progress, commit_asked_at, read_progress
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


def came(store: SqliteViewStore, read: int, archived: int) -> None:
    """The speed layer has read so many records, and raw holds so many."""
    Progress(positions={0: read}, included_until=NOON, epoch=1).write(store, SPEED)
    Progress(positions={0: archived}, included_until=NOON).write(store, ARCHIVE)


def test_before_a_recount_by_itself_the_archive_is_asked_for_what_raw_does_not_hold(store: SqliteViewStore) -> None:
    archive = Archive(store, after=ON_TIME, holds=6)
    came(store, read=6, archived=5)
    with holding(store, "archive"):
        commit_what_came(store, now=archive.clock, sleep=archive.sleep)
    progress = read_progress(store, ARCHIVE)
    assert progress is not None
    assert (progress.positions, commit_asked_at(store)) == ({0: 6}, NOON)
    assert archive.now < NOON + timedelta(seconds=ON_TIME + 1)


@pytest.mark.parametrize("archived", [6, 7], ids=["as far", "further"])
def test_an_archive_that_has_come_as_far_as_the_speed_layer_is_not_asked(store: SqliteViewStore, archived: int) -> None:
    archive = Archive(store, after=NEVER, holds=1)
    came(store, read=6, archived=archived)
    with holding(store, "archive"):
        commit_what_came(store, now=archive.clock, sleep=archive.sleep)
    assert (archive.now, commit_asked_at(store)) == (NOON, None)


def test_a_recount_by_itself_waits_for_no_stream_that_does_not_run(store: SqliteViewStore) -> None:
    archive = Archive(store, after=NEVER, holds=1)
    came(store, read=6, archived=5)
    commit_what_came(store, now=archive.clock, sleep=archive.sleep)
    assert (archive.now, commit_asked_at(store)) == (NOON, None)


def test_a_recount_by_itself_goes_on_without_an_archive_that_does_not_commit(store: SqliteViewStore) -> None:
    archive = Archive(store, after=NEVER, holds=1)
    came(store, read=6, archived=5)
    with holding(store, "archive"):
        commit_what_came(store, now=archive.clock, sleep=archive.sleep)
    assert timedelta(seconds=20) < archive.now - NOON < timedelta(seconds=21)


def test_what_was_acknowledged_before_an_import_is_in_raw_before_it(store: SqliteViewStore) -> None:
    archive = Archive(store, after=ON_TIME, holds=1)
    commit_what_was_sent(store, now=archive.clock, sleep=archive.sleep)
    assert (archive.now, commit_asked_at(store)) == (NOON, None)  # no stream runs, so nobody is waited for
    with holding(store, "archive"):
        commit_what_was_sent(store, now=archive.clock, sleep=archive.sleep)
    done = read_progress(store, ARCHIVE)
    assert done is not None
    step = timedelta(milliseconds=STEP_MS)
    assert NOON + step < done.included_until < NOON + timedelta(seconds=10)
