"""The stream process: archive and speed in one Spark session, restartable at any moment.

Reads the log twice (each layer with its own checkpoint), and keeps both layers' progress current, twice a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Final

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from stream.archive import Archive, begin_archive, start_archive
from stream.checkpoint import Checkpoint
from stream.log import Horizon, Positions, open_log
from stream.log.spark_source import positions_of
from stream.progress import ARCHIVE, SPEED, ProgressTracker, has_passed, read_progress
from stream.speed import begin_epoch, start_speed
from tallymark import publication
from tallymark.errors import TallymarkError
from tallymark.lease import holding
from tallymark.settings import Settings
from tallymark.spark import start_spark
from tallymark.store import ViewStore
from tallymark.wiring import open_store

__all__ = ["SPARK_OPTIONS", "finished_by", "run_stream"]

_TICK: Final = timedelta(milliseconds=500)
SPARK_OPTIONS: Final = {
    "spark.scheduler.mode": "FAIR",  # a long archive commit does not hold up the speed layer
    "spark.sql.streaming.stateStore.providerClass": (
        "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
    ),
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    # many deletions pass through the state: small buffers reach a file, and compaction, before a scan meets them all
    "spark.sql.streaming.stateStore.rocksdb.writeBufferSizeMB": "4",
    "spark.sql.streaming.stateStore.minDeltasForSnapshot": "100",
    # on local files, Hadoop's other way to rename runs a program (readlink) for each of 30 files a micro-batch
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
    # the cells of a micro-batch are thousands: they are not to be sorted because they are more than 128
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "1000000",
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    "spark.sql.streaming.stateStore.rocksdb.boundedMemoryUsage": "true",
    "spark.sql.streaming.stateStore.rocksdb.maxMemoryUsageMB": "300",
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    "spark.sql.streaming.minBatchesToRetain": "10",
    "spark.sql.streaming.numRecentProgressUpdates": "5",
}


def run_stream(
    settings: Settings, *, stop: threading.Event, ready: Callable[[], None], spark: SparkSession | None = None
) -> None:
    """Run until `stop` is set. `ready` is called once both queries run. Raises what ends a query, and then sets `stop`.

    At most one runs for a view store: raises LeaseHeld when that is another one. `spark`: a session to run in, which is
    left running; by default an own one.
    """
    store, log = open_store(settings), open_log(settings)
    with closing(store), closing(log), holding(store, "archive", wait=True, stop=stop) as lease:
        checkpoint, epoch = begin_archive(store, log, settings), begin_epoch(store, log, settings)
        archive = Archive(settings, store, checkpoint.number, lease=lease, stop=stop)
        end = log.horizon().positions
        session = spark or start_spark(settings, "stream", options=SPARK_OPTIONS)
        try:
            layers = [
                _archive(store, checkpoint, archive, start_archive(session, settings, archive, checkpoint)),
                _speed(store, epoch, start_speed(session, settings, epoch), caught_up_at=end),
            ]
            ready()
            while not stop.wait(_TICK.total_seconds()):
                horizon = log.horizon()
                for follow in layers:
                    follow(horizon)
        finally:
            stop.set()  # an archive that waits for its storage would never end
            # a micro-batch that is interrupted runs again after the start: what Spark says about it now is no news
            session.sparkContext.setLogLevel("OFF")
            for query in session.streams.active:
                query.stop()
            if spark is None:
                session.stop()


_Follow = Callable[[Horizon], None]


def _archive(store: ViewStore, checkpoint: Checkpoint, archive: Archive, query: StreamingQuery) -> _Follow:
    """Keeps the archive's progress current; what was proven before a restart stays proven."""
    known = read_progress(store, ARCHIVE)
    tracker = ProgressTracker(store, ARCHIVE, known.positions if known else checkpoint.start)

    def follow(horizon: Horizon) -> None:
        if archive.trouble is not None:
            raise archive.trouble
        tracker.update(horizon, finished_by(query))

    return follow


def _speed(store: ViewStore, epoch: Checkpoint, query: StreamingQuery, *, caught_up_at: Positions) -> _Follow:
    """Publishes the epoch once it has caught up with the log as it was at the start, and from then on its progress."""
    known = read_progress(store, SPEED)
    ours = known is not None and publication.current(store).epoch == epoch.number
    finished: dict[int, int] = dict(known.positions if known is not None and ours else epoch.start)
    tracker = ProgressTracker(store, SPEED, finished)

    def follow(horizon: Horizon) -> None:
        nonlocal ours
        finished.update(finished_by(query) or {})
        if not ours and has_passed(finished, caught_up_at):
            publication.publish_epoch(store, epoch.number)
            ours = True
        if ours:
            tracker.update(horizon, finished)

    return follow


def finished_by(query: StreamingQuery) -> Positions | None:
    """The positions that the query has finished, None before its first micro-batch. Raises what has ended it."""
    if (error := query.exception()) is not None:
        raise error
    if not query.isActive:
        raise TallymarkError(f"the {query.name} query has ended without saying why; see the lines above")
    progress = query.lastProgress
    if progress is None or progress.sources[0].endOffset in {None, "null"}:
        return None
    return positions_of(progress.sources[0].endOffset)
