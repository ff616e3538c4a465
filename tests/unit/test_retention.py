"""What maintain keeps: all that a version needs which can still be read, or published again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from batch.publish import publish_version
from batch.upkeep.retention import Retention, Thinning, raw_age, retention_of
from tallymark.documents import attempts, publication
from tallymark.documents.attempts import AttemptRecord, State
from tallymark.documents.publication import Publication, roll_back
from tallymark.errors import PublicationConflict, UnknownVersion
from tallymark.store.lease import holding
from tallymark.store.sqlite import SqliteViewStore

START = datetime(2026, 2, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def publish(store: SqliteViewStore, *versions: int) -> None:
    """Each version an hour further, of a raw version ten further."""
    for version in versions:
        publish_version(
            store,
            version=version,
            exact_until=START + version * HOUR,
            raw_version=10 * version,
            counted_until=START + version * HOUR + timedelta(minutes=5),
            replacing=publication.current(store),
            now=lambda: START + version * HOUR + timedelta(minutes=10),  # noqa: B023
        )


def crashed(store: SqliteViewStore, number: int) -> None:
    record = AttemptRecord(
        number=number, state=State.PLANNED, started_at=START, raw_version=0, exact_until=START, pairs={}
    )
    assert attempts.put_on_record(store, record)


def retained(
    store: SqliteViewStore, *, all: timedelta = HOUR, hourly: timedelta = 2 * DAY, daily: timedelta = 30 * DAY, at: int
) -> Retention:
    """After `at` hours."""
    return retention_of(store, thinning=Thinning(all, hourly, daily), keep=DAY, now=START + at * HOUR)


def test_before_anything_is_published_everything_is_kept(store: SqliteViewStore) -> None:
    kept = retained(store, at=1)
    assert (kept.versions, kept.forgotten, kept.speed_from) == ([], [], None)
    assert kept.attempts_from == 0


def test_the_versions_of_the_last_hours_stay_with_all_that_the_oldest_of_them_needs(store: SqliteViewStore) -> None:
    publish(store, *range(1, 8))
    kept = retained(store, all=3 * HOUR, hourly=HOUR, daily=HOUR, at=8)
    assert (kept.versions, kept.forgotten) == ([7, 6, 5], [1, 2, 3, 4])
    assert kept.speed_from == START + 5 * HOUR - DAY
    assert kept.attempts_from == 5


def test_versions_are_thinned_like_backups(store: SqliteViewStore) -> None:
    """One every ten minutes for 40 days."""
    history = [
        Publication(
            version=n,
            exact_until=START,
            raw_version=n,
            epoch=1,
            published_at=START + n * timedelta(minutes=10),
        )
        for n in range(1, 40 * 144 + 1)
    ]
    now = START + 40 * DAY
    chosen = Thinning(HOUR, 2 * DAY, 30 * DAY).chosen(history, now)
    ages = [now - at.published_at for at in chosen]
    assert [age for age in ages if age <= HOUR] == [n * timedelta(minutes=10) for n in range(6, -1, -1)]
    hours = [at.published_at.hour for at, age in zip(chosen, ages, strict=True) if HOUR < age <= 2 * DAY]
    assert len(hours) == 47
    assert all(b == (a + 1) % 24 for a, b in pairwise(hours))
    assert len([age for age in ages if age > 2 * DAY]) == 28
    assert max(ages) <= 30 * DAY
    assert chosen[-1] == history[-1]


def test_after_a_rollback_the_version_that_readers_see_stays_however_old(store: SqliteViewStore) -> None:
    publish(store, 1, 2, 3, 4)
    roll_back(store, 2, now=lambda: START + 100 * DAY)
    kept = retained(store, at=24 * 200)
    assert (kept.versions, kept.forgotten) == ([2], [1, 3, 4])
    assert kept.speed_from == START + 2 * HOUR - DAY
    assert kept.attempts_from == 2


def test_versions_whose_rows_may_be_pushed_out_are_refused_and_forgotten_but_for_the_current_one(
    store: SqliteViewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, 1, 30, 60)
    monkeypatch.setattr(type(store), "versions_kept", 64)
    assert retained(store, at=61).versions == [60, 30, 1]
    assert publication.version(store, 1).version == 1
    for number in range(61, 66):
        crashed(store, number)
    assert retained(store, at=61).versions == [60, 30]
    with pytest.raises(UnknownVersion, match=r"version 1 can be read no more.*rows of 64 attempts"):
        publication.version(store, 1)
    crashed(store, 200)
    assert retained(store, at=61).versions == [60]
    assert publication.version(store, 60).version == 60


def test_a_forgotten_version_can_neither_be_read_nor_published(store: SqliteViewStore) -> None:
    publish(store, 1, 2, 3)
    publication.forget(store, [1])
    assert [each.version for each in publication.history(store)] == [2, 3]
    with pytest.raises(UnknownVersion, match="version 1"):
        roll_back(store, 1, now=lambda: START + DAY)
    with pytest.raises(PublicationConflict, match="version 3"):
        publication.forget(store, [3])
    assert publication.current(store).version == 3


def test_raw_files_stay_for_a_recount_that_runs(store: SqliteViewStore) -> None:
    now = START + 10 * DAY
    assert raw_age(store, keep=HOUR, now=now) == HOUR
    with holding(store, "recompute", now=lambda: now - 5 * HOUR):
        assert raw_age(store, keep=HOUR, now=now) > 5 * HOUR
        assert raw_age(store, keep=DAY, now=now) == DAY
    assert raw_age(store, keep=HOUR, now=now) == HOUR
