"""The archive on a real Spark: everything in the log is in the raw table or among the dead letters, once per commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from stream.archive.query import Archive, begin_archive, start_archive
from stream.log import Horizon
from stream.log.sqlite.log import SqliteLog
from stream.log.sqlite.source import RANGES
from stream.run import run_stream
from tallymark.cells import shard_of
from tallymark.documents import publication
from tallymark.documents.dead_letters import dead_letters
from tallymark.documents.progress import ARCHIVE, SPEED, Progress, ask_for_commit, read_progress
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tallymark.store.sqlite import SqliteViewStore
from tests.support.strategies import FIRST


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.sqlite")


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    return SqliteViewStore(tmp_path / "views.sqlite")


def event(number: int, minute: int, video_id: str = "v") -> Event:
    return Event(event_id=f"e{number}", type="view", video_id=video_id, occurred_at=(FIRST + minute) * 60_000)


def append(log: SqliteLog, *batch: Event) -> None:
    log.append([(e.event_id, encode(e)) for e in batch])


def raw_rows(settings: Settings) -> list[dict[str, object]]:
    return DeltaTable(settings.raw_uri).to_pyarrow_table().sort_by("log_offset").to_pylist()


def records(spark: SparkSession, first: int, last: int) -> DataFrame:
    """What the log has from one offset to another, as the source gives it to the archive."""
    return spark.createDataFrame([(first, last + 1)], RANGES)


def archive_once(spark: SparkSession, settings: Settings, store: SqliteViewStore, log: SqliteLog) -> None:
    checkpoint = begin_archive(store, log, settings)
    query = start_archive(spark, settings, Archive(settings, store, checkpoint.number), checkpoint)
    try:
        query.processAllAvailable()
    finally:
        query.stop()


def test_every_record_is_in_raw_or_among_the_dead_letters(
    spark: SparkSession, home_settings: Settings, log: SqliteLog, store: SqliteViewStore
) -> None:
    append(log, event(1, 0), event(1, 0), event(2, 1440, "w"))
    log.append([("x", b"not json"), ("y", b'{"event_id": "\xff"}')])
    append(log, event(3, 0))
    archive_once(spark, home_settings, store, log)
    rows, letters = raw_rows(home_settings), list(dead_letters(store))
    assert sorted([row["log_offset"] for row in rows] + [letter.log_offset for letter in letters]) == [1, 2, 3, 4, 5, 6]
    assert [(letter.log_offset, letter.record) for letter in letters] == [
        (4, b"not json"),
        (5, b'{"event_id": "\xff"}'),
    ]
    assert {(row["day"], row["shard"]) for row in rows} == {
        ("2000-01-01", shard_of("v")),
        ("2000-01-02", shard_of("w")),
    }


def test_a_micro_batch_that_runs_again_is_committed_once(
    spark: SparkSession, home_settings: Settings, log: SqliteLog, store: SqliteViewStore
) -> None:
    append(log, event(1, 0), event(2, 0))
    archive = Archive(home_settings, store, 1)
    archive.commit(records(spark, 1, 2), 0)
    Archive(home_settings, store, 1).commit(records(spark, 1, 2), 0)
    assert len(raw_rows(home_settings)) == 2
    archive.commit(records(spark, 1, 2), 1)
    assert len(raw_rows(home_settings)) == 4


def test_files_of_an_attempt_that_died_before_its_commit_are_never_seen(
    spark: SparkSession, home_settings: Settings, log: SqliteLog, store: SqliteViewStore
) -> None:
    append(log, event(1, 0))
    archive = Archive(home_settings, store, 1)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    archive._commits.add = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        archive.commit(records(spark, 1, 1), 0)
    Archive(home_settings, store, 1).commit(records(spark, 1, 1), 0)
    assert len(raw_rows(home_settings)) == 1
    assert len(list(Path(home_settings.raw_uri).glob("day=*/*/*.parquet"))) == 2


def test_a_lost_checkpoint_goes_on_from_the_proven_progress(
    spark: SparkSession, home_settings: Settings, log: SqliteLog, store: SqliteViewStore
) -> None:
    append(log, event(1, 0))
    archive_once(spark, home_settings, store, log)
    horizon = log.horizon()
    done = Progress(positions=horizon.positions, included_until=horizon.at)
    store.write_document(ARCHIVE, done.to_json())
    begin_archive(store, log, home_settings).folder.rename(home_settings.home / "lost")
    append(log, event(2, 0))
    archive_once(spark, home_settings, store, log)
    assert [row["event_id"] for row in raw_rows(home_settings)] == ["e1", "e2"]


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def streaming(settings: Settings, spark: SparkSession) -> Iterator[None]:
    """The stream in a thread while inside; raises what it failed with."""
    stop, ready = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_stream, settings, stop=stop, ready=ready.set, spark=spark)
        try:
            eventually(lambda: ready.is_set() or running.done())
            yield
        finally:
            stop.set()
        running.result()


def has_included(store: SqliteViewStore, layer: str, horizon: Horizon) -> bool:
    progress = read_progress(store, layer)
    return progress is not None and progress.included_until >= horizon.at


def test_progress_follows_the_clock_when_no_events_arrive(
    home_settings: Settings, log: SqliteLog, store: SqliteViewStore, spark: SparkSession
) -> None:
    append(log, event(1, 0))
    with streaming(home_settings, spark):
        eventually(lambda: publication.current(store).epoch == 1)
        for document in (ARCHIVE, SPEED):
            asked = log.horizon()
            eventually(lambda: has_included(store, document, asked))  # noqa: B023
            progress = read_progress(store, document)
            assert progress is not None
            assert progress.positions == asked.positions
    assert len(raw_rows(home_settings)) == 1


def test_the_archive_commits_when_it_is_asked_to_and_not_only_at_its_trigger(
    home_settings: Settings, log: SqliteLog, store: SqliteViewStore, spark: SparkSession
) -> None:
    append(log, event(1, 0))
    with streaming(replace(home_settings, archive_trigger=timedelta(hours=1)), spark):
        eventually(lambda: has_included(store, ARCHIVE, log.horizon()))
        for number in (2, 3):
            append(log, event(number, 0))
            sent = log.horizon()
            ask_for_commit(store, at=sent.at)
            eventually(lambda: has_included(store, ARCHIVE, sent))  # noqa: B023
        append(log, event(4, 0))
        assert [row["event_id"] for row in raw_rows(home_settings)] == ["e1", "e2", "e3"]
