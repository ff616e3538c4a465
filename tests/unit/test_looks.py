"""When a recount that comes by itself is worth while, and that it does not undo what somebody chose by hand."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from batch.keep.looks import Looks
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, Progress
from tallymark.documents.publication import Publication, roll_back
from tallymark.errors import NothingToRecount, RawUnavailable
from tallymark.instants import instant, utc_now
from tallymark.store import ViewStore
from tallymark.store.sqlite import SqliteViewStore
from tests.support.recounts import MIDNIGHT

NOON = instant(MIDNIGHT + 720)
LATER = NOON + timedelta(minutes=5)
LATENESS = timedelta(seconds=30)


class Done(NamedTuple):
    published: bool
    publication: Publication


class World:
    """A view store of which a look sees the archive's progress; `publishes`: whether the next recount does."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "views.sqlite"
        self.store = self.open()
        self.recounts = 0
        self.publishes = False
        self.error: Exception | None = None
        self.coming: tuple[int, datetime] | None = None
        self.look = Looks(self.open, self._recount, commit=self._commit, lateness=LATENESS)

    def open(self) -> ViewStore:
        return SqliteViewStore(self._path)

    def archived(self, position: int, at: datetime) -> None:
        Progress(positions={0: position}, included_until=at).write(self.store, ARCHIVE)

    def publish(self) -> Publication:
        at = publication.current(self.store)
        newest = max([each.version for each in publication.history(self.store)], default=0)
        new = Publication(
            version=newest + 1, exact_until=NOON, raw_version=1, counted_until=NOON, epoch=1, published_at=utc_now()
        )
        publication.publish(self.store, new, expected=at)
        return new

    def looks(self) -> int:
        """How many recounts a look makes: none, or one."""
        before = self.recounts
        self.look()
        return self.recounts - before

    def _commit(self, store: ViewStore) -> None:
        """What the archive commits now, a look must see."""
        if self.coming is not None:
            self.archived(*self.coming)
            self.coming = None

    def _recount(self, store: ViewStore) -> Done:
        self.recounts += 1
        if self.error is not None:
            raise self.error
        at = self.publish() if self.publishes else publication.current(store)
        return Done(self.publishes, at)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def settled(world: World, position: int, at: datetime) -> datetime:
    """Look until a look finds nothing to do, half a minute of the log's time after `position` was seen."""
    world.archived(position, at)
    assert world.looks() == 1
    world.archived(position, at + timedelta(seconds=30))
    assert world.looks() == 1
    assert world.looks() == 0
    return at + timedelta(seconds=30)


def test_nothing_is_loaded_before_anything_was_archived(world: World) -> None:
    for progress in (None, 0):
        if progress is not None:
            world.archived(progress, NOON)
        with pytest.raises(NothingToRecount):
            world.look()
    assert world.recounts == 0


def test_a_look_recounts_when_the_archive_has_read_on(world: World) -> None:
    at = settled(world, 5, LATER)
    settled(world, 6, at)


def test_a_look_counts_what_it_has_the_archive_commit(world: World) -> None:
    at = settled(world, 5, LATER)
    world.coming = 6, at + timedelta(seconds=2)
    assert world.looks() == 1


def test_what_a_recount_could_not_count_yet_is_counted_half_a_minute_later(world: World) -> None:
    world.archived(5, LATER)
    assert [world.looks(), world.looks()] == [1, 1]
    world.archived(5, LATER + timedelta(seconds=30))
    assert [world.looks(), world.looks()] == [1, 0]


def test_a_quiet_hour_is_looked_at_once_it_can_be_sealed_by_the_clock(world: World) -> None:
    quiet = settled(world, 5, LATER) + timedelta(minutes=6)
    world.archived(5, quiet)
    assert [world.looks(), world.looks()] == [1, 0], "by then the log's clock seals"
    world.archived(5, NOON + timedelta(hours=1, seconds=29))
    assert world.looks() == 0
    world.archived(5, NOON + timedelta(hours=1, seconds=30))
    assert world.looks() == 1


def test_a_recount_that_failed_is_made_again(world: World) -> None:
    settled(world, 5, LATER)
    world.archived(6, LATER + timedelta(minutes=2))
    world.error = RawUnavailable("S3 is away")
    for _ in range(2):
        with pytest.raises(RawUnavailable):
            world.look()
    world.error = None
    assert world.looks() == 1


def test_a_look_says_whether_a_version_was_published(world: World) -> None:
    world.archived(5, NOON)
    assert not world.look()
    world.publishes = True
    assert world.look()


def test_a_rollback_is_not_undone_until_somebody_recounts_by_hand(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world.publish()
    world.publish()
    roll_back(world.store, 1, now=utc_now)
    world.archived(5, NOON)
    assert [world.looks(), world.looks()] == [0, 0]
    assert len(caplog.records) == 1
    assert "version 1 was published again in the place of 2" in caplog.text
    world.publish()
    assert world.looks() == 1
