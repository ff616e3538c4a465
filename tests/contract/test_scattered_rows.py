"""Rows that are scattered over years: few files, and every one of them is found, counted, compacted and found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from batch.audit.comparison.raw_rows import judged
from batch.distribute import serially
from batch.recompute import Recount, recompute
from tallymark.buckets import Grain
from tallymark.cells import SHARDS
from tallymark.documents.progress import Progress
from tallymark.event import Event
from tallymark.instants import DAY, instant
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store.lock import RAW_COMMIT, locking
from tallymark.store.sqlite import SqliteViewStore
from tests.support import oracle
from tests.support.raw_tables import LATENESS, commits, pinned, written
from tests.support.recounts import MIDNIGHT, assert_same, cells_at

YEARS = 13
DAYS = YEARS * 365


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteViewStore]:
    opened = SqliteViewStore(tmp_path / "views.sqlite")
    yield opened
    opened.close()


def scattered(count: int, seed: int) -> list[Event]:
    """Over 13 years and 400 videos; a tenth on one day, and every tenth twice."""
    random = np.random.default_rng(seed)
    minutes = random.integers(MIDNIGHT - DAYS * DAY, MIDNIGHT - DAY, count)
    minutes[: count // 10] = MIDNIGHT - 5000
    fresh = [
        Event(event_id=f"{seed}-{n}", type="view", video_id=f"video-{n % 400}", occurred_at=int(minute) * 60_000 + n)
        for n, minute in enumerate(minutes)
    ]
    return [*fresh, *fresh[::10]]


def recount(table: Settings, store: SqliteViewStore) -> Recount:
    progress = Progress(positions={0: 1}, included_until=instant(MIDNIGHT + 100_000))
    store.write_document("progress/archive", progress.to_json())
    return recompute(store, RawTable(table.raw_uri), lateness=LATENESS, distribute=serially(store, at_once=3000))


def assert_counted(store: SqliteViewStore, done: Recount, events: Sequence[Event]) -> None:
    sealed = [one for one in events if one.occurred_at // 60_000 < done.publication.boundary]
    for grain in Grain:
        assert_same(cells_at(store, grain, done.publication.version), oracle.cells(sealed, grain))


def test_a_commit_of_scattered_events_makes_few_files(table: Settings, store: SqliteViewStore) -> None:
    events = scattered(4000, seed=1)
    commits(table, store).add(written(table, events), 0)
    files = pinned(table).files
    assert len(files) <= SHARDS * (YEARS + 1)
    assert sum(file.rows for file in files) == len(events)
    assert_counted(store, recount(table, store), events)


def test_what_comes_to_days_that_share_a_file_is_dirty_and_nothing_else_is(
    table: Settings,
    store: SqliteViewStore,
) -> None:
    events = scattered(2000, seed=2)
    archive = commits(table, store)
    archive.add(written(table, events), 0)
    recount(table, store)
    assert not recount(table, store).published
    day = MIDNIGHT - 700 * DAY
    more = [Event(event_id=f"m{n}", type="view", video_id="video-3", occurred_at=day * 60_000 + n) for n in range(5)]
    archive.add(written(table, more, first_offset=len(events)), 1)
    done = recount(table, store)
    assert (done.published, done.pairs) == (True, 1)
    further = scattered(1000, seed=3)
    archive.add(written(table, further, first_offset=10_000), 2)
    assert_counted(store, recount(table, store), [*events, *more, *further])


def test_shared_files_are_compacted_like_others_and_that_is_no_change(
    table: Settings,
    store: SqliteViewStore,
) -> None:
    archive = commits(table, store)
    events: list[Event] = []
    for number in range(5):
        some = scattered(300, seed=number + 10)
        archive.add(written(table, some, first_offset=len(events)), number)
        events += some
    before = recount(table, store)
    raw = RawTable(table.raw_uri)
    crowded = [one for one in raw.crowded() if len(one.day) == 4][:20]
    assert crowded
    with locking(store, RAW_COMMIT):
        assert [raw.compact(one) for one in crowded] == [1] * len(crowded)
    assert not recount(table, store).published
    assert_counted(store, before, events)


def test_an_audit_finds_the_rows_of_one_day_in_a_file_of_a_year(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home")
    opened = SqliteViewStore(tmp_path / "views.sqlite")
    events = scattered(1000, seed=4)
    commits(home, opened).add(written(home, events), 0)
    day = MIDNIGHT - 5000 - (MIDNIGHT - 5000) % DAY
    rows = judged(pinned(home).files, day, shards=range(SHARDS), memory=timedelta(hours=1))
    assert rows.height == sum(day <= one.occurred_at // 60_000 < day + DAY for one in events)
    opened.close()
