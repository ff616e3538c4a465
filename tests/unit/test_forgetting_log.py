"""The embedded log forgets: what it may, in slices, for good, and with its room given back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream.log.sqlite.log import PARTITION, SqliteLog
from stream.retention import forgettable
from stream.speed.query import begin_epoch
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, SPEED, Progress
from tallymark.documents.publication import Publication, publish_epoch
from tallymark.instants import Millis, instant_of, minute_of
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.sqlite import SqliteViewStore

MIDNIGHT = datetime(2026, 2, 1, tzinfo=UTC)
MINUTE_MS = 60_000
MAX_AHEAD = timedelta(minutes=5)


class Clock:
    def __init__(self) -> None:
        self.ms = round(MIDNIGHT.timestamp() * 1000)

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path, clock: Clock) -> SqliteLog:
    return SqliteLog(path, now_ms=clock)


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def some(count: int, size: int = 200) -> list[tuple[str, bytes]]:
    return [(str(n), n.to_bytes(4) * (size // 4)) for n in range(count)]


def offsets(log: SqliteLog) -> Sequence[int]:
    return [record.offset for record in log.read({}, log.end())]


def a_record_a_minute(log: SqliteLog, clock: Clock, minutes: int) -> None:
    """The record of the nth minute has the offset n + 1."""
    for _ in range(minutes):
        log.append([("a", b"1")])
        clock.ms += MINUTE_MS


def publish(store: ViewStore, *, exact_until: datetime, epoch: int) -> None:
    before = publication.current(store)
    new = Publication(
        version=before.version + 1,
        exact_until=exact_until,
        raw_version=1,
        counted_until=exact_until,
        epoch=epoch,
        published_at=exact_until,
    )
    publication.publish(store, new, expected=before)


def included(store: ViewStore, layer: str, position: int, *, epoch: int = 0) -> None:
    progress = Progress(positions={PARTITION: position}, included_until=MIDNIGHT, epoch=epoch)
    store.write_document(layer, progress.to_json())


def test_what_it_forgot_is_gone_and_all_else_is_as_it_was(log: SqliteLog) -> None:
    log.append(some(12_000))
    assert log.trimmed() == {}
    assert log.forget({PARTITION: 7001}) == 7000
    assert offsets(log) == list(range(7001, 12_001))
    assert log.forget({PARTITION: 7001}) == log.forget({PARTITION: 5}) == log.forget({}) == 0
    log.append(some(1))
    assert (offsets(log)[0], offsets(log)[-1]) == (7001, 12_001)
    assert list(log.read({PARTITION: 1}, {PARTITION: 7001})) == []


def test_no_offset_is_given_twice_though_everything_may_go(path: Path, log: SqliteLog) -> None:
    log.append(some(10))
    log.forget({PARTITION: 11})
    log.close()
    again = SqliteLog(path)
    again.append(some(1))
    assert offsets(again) == [10, 11]


def test_its_positions_at_an_instant_are_among_what_is_left(log: SqliteLog, clock: Clock) -> None:
    start = Millis(clock.ms)
    a_record_a_minute(log, clock, 100)
    log.forget({PARTITION: 41})
    assert log.trimmed() == {PARTITION: start + 40 * MINUTE_MS}
    assert log.positions_at(instant_of(start)) == {PARTITION: 41}
    for minute in (40, 41, 60, 99):
        assert log.positions_at(instant_of(Millis(start + minute * MINUTE_MS))) == {PARTITION: minute + 1}
    assert log.positions_at(instant_of(Millis(clock.ms))) == log.end() == {PARTITION: 101}


def test_a_reader_in_the_middle_goes_on_with_what_is_left(log: SqliteLog) -> None:
    log.append(some(12_000))
    reading = log.read({}, log.end())
    first = [next(reading).offset for _ in range(10)]
    log.forget({PARTITION: 11_001})
    rest = [record.offset for record in reading]
    assert first == list(range(1, 11))
    assert rest == sorted(set(rest))
    assert rest[-1000:] == list(range(11_001, 12_001))


def test_the_room_is_given_back(path: Path, log: SqliteLog) -> None:
    log.append(some(40_000))
    full = size_of(path)
    log.forget({PARTITION: 39_001})
    assert size_of(path) < full / 20


def test_a_file_of_before_gives_its_room_back_too(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:  # as versions made it that forgot nothing
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "CREATE TABLE records (log_offset INTEGER PRIMARY KEY, appended_at INTEGER NOT NULL, value BLOB NOT NULL)"
        )
        connection.execute("CREATE TABLE clock (latest INTEGER NOT NULL)")
        connection.execute("INSERT INTO clock VALUES (0)")
        connection.commit()
    log = SqliteLog(path)
    log.append(some(40_000))
    full = size_of(path)
    log.forget({PARTITION: 39_001})
    assert size_of(path) < full / 20
    assert offsets(log) == list(range(39_001, 40_001))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def test_before_a_version_is_published_nothing_may_be_forgotten(log: SqliteLog, store: ViewStore, clock: Clock) -> None:
    a_record_a_minute(log, clock, 60)
    publish_epoch(store, 1)
    included(store, ARCHIVE, 61)
    included(store, SPEED, 61, epoch=1)
    assert forgettable(store, log, epoch=1, max_ahead=MAX_AHEAD) == {}


@pytest.mark.parametrize(
    ("archived", "counted", "kept_from"),
    [(181, 181, 56), (30, 181, 30), (181, 30, 30)],
    ids=["what a new epoch reads", "what the archive lacks", "what the speed view lacks"],
)
def test_what_somebody_needs_is_kept(
    log: SqliteLog, store: ViewStore, clock: Clock, archived: int, counted: int, kept_from: int
) -> None:
    a_record_a_minute(log, clock, 180)
    publish(store, exact_until=MIDNIGHT + timedelta(hours=1), epoch=1)
    included(store, ARCHIVE, archived)
    included(store, SPEED, counted, epoch=1)
    assert forgettable(store, log, epoch=1, max_ahead=MAX_AHEAD) == {PARTITION: kept_from}


def test_while_a_new_epoch_catches_up_nothing_is_forgotten(log: SqliteLog, store: ViewStore, clock: Clock) -> None:
    """It reads what the epoch before it has counted."""
    a_record_a_minute(log, clock, 180)
    publish(store, exact_until=MIDNIGHT + timedelta(hours=1), epoch=1)
    included(store, ARCHIVE, 181)
    included(store, SPEED, 181, epoch=1)
    assert forgettable(store, log, epoch=2, max_ahead=MAX_AHEAD) == {}
    publish_epoch(store, 2)
    assert forgettable(store, log, epoch=2, max_ahead=MAX_AHEAD) == {}  # until it tells of its own progress
    included(store, SPEED, 181, epoch=2)
    assert forgettable(store, log, epoch=2, max_ahead=MAX_AHEAD) == {PARTITION: 56}


def test_a_new_epoch_does_not_stand_for_minutes_that_the_log_forgot(
    tmp_path: Path, log: SqliteLog, store: ViewStore, clock: Clock
) -> None:
    """They are before exact_until, until an older version is published again."""
    settings = Settings(home=tmp_path)
    a_record_a_minute(log, clock, 180)
    publish(store, exact_until=MIDNIGHT + timedelta(hours=1), epoch=0)
    assert begin_epoch(store, log, settings).begun.since == minute_of(MIDNIGHT + timedelta(hours=1))
    assert log.forget({PARTITION: 121}) == 120
    (tmp_path / "again").mkdir()
    after = begin_epoch(store, log, Settings(home=tmp_path / "again"))
    first_left = MIDNIGHT + timedelta(hours=2)
    assert after.begun.start == {PARTITION: 121}
    assert after.begun.since == minute_of(first_left + settings.max_ahead) + 1
