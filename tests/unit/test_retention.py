"""What maintain keeps: all that a version needs which can still be read, or published again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch.publish import publish_version, rollback
from batch.upkeep.retention import raw_age, retention_of
from tallymark.documents import attempts, publication
from tallymark.documents.attempts import AttemptRecord, State
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


def test_before_anything_is_published_everything_is_kept(store: SqliteViewStore) -> None:
    kept = retention_of(store, most=1, keep=timedelta())
    assert (kept.versions, kept.forgotten, kept.speed_from) == ([], [], None)
    assert kept.attempts_from == 0


def test_the_last_versions_stay_with_all_that_the_oldest_of_them_needs(store: SqliteViewStore) -> None:
    publish(store, *range(1, 8))
    kept = retention_of(store, most=3, keep=DAY)
    assert (kept.versions, kept.forgotten) == ([7, 6, 5], [1, 2, 3, 4])
    assert kept.speed_from == START + 5 * HOUR - DAY
    assert kept.attempts_from == 5


def test_after_a_rollback_the_versions_that_readers_saw_last_stay(store: SqliteViewStore) -> None:
    publish(store, 1, 2, 3, 4)
    rollback(store, 2, now=lambda: START + DAY)
    kept = retention_of(store, most=2, keep=timedelta())
    assert (kept.versions, kept.forgotten) == ([2, 4], [1, 3])
    assert kept.speed_from == START + 2 * HOUR
    assert kept.attempts_from == 2


def test_versions_that_hbase_may_no_longer_hold_are_forgotten_except_the_current_one(store: SqliteViewStore) -> None:
    publish(store, 1, 30, 60)
    for number in range(61, 100):
        crashed(store, number)
    assert retention_of(store, most=60, keep=DAY).versions == [60]
    crashed(store, 200)
    assert retention_of(store, most=60, keep=DAY).versions == [60]


def test_a_forgotten_version_can_neither_be_read_nor_published(store: SqliteViewStore) -> None:
    publish(store, 1, 2, 3)
    publication.forget(store, [1])
    assert [each.version for each in publication.history(store)] == [2, 3]
    with pytest.raises(UnknownVersion, match="version 1"):
        rollback(store, 1, now=lambda: START + DAY)
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
