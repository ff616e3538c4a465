"""The stream process: archive and speed in one Spark session, restartable at any moment (ADR 25).

Reads the log twice (each layer with its own checkpoint), and keeps both layers' progress current, twice a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Final

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from stream.archive.query import Archive, begin_archive, start_archive
from stream.checkpoint import Checkpoint
from stream.log import Horizon, Positions, open_log
from stream.log.spark_source import positions_of
from stream.metrics import last_report, watching
from stream.progress import ProgressTracker, has_passed
from stream.retention import forget_what_nobody_needs
from stream.speed.query import begin_epoch, start_speed
from tallymark.documents import publication
from tallymark.documents.progress import ARCHIVE, SPEED, commit_asked_at, read_progress
from tallymark.errors import TallymarkError, Unavailable
from tallymark.settings import Settings
from tallymark.spark.session import start_spark
from tallymark.store import ViewStore
from tallymark.store.lease import holding
from tallymark.store.open import open_store

__all__ = ["SPARK_OPTIONS", "finished_by", "run_stream"]

_TICK: Final = timedelta(milliseconds=500)
_log = logging.getLogger(__name__)
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
    # each task would have its projections written in Java anew; the workers do what is worth being compiled
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
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
        end = log.end()
        session = spark or start_spark(settings, "stream", options=SPARK_OPTIONS)
        try:
            layers = [
                _archive(store, checkpoint, archive, lambda: start_archive(session, settings, archive, checkpoint)),
                _speed(store, epoch, start_speed(session, settings, epoch), caught_up_at=end),
            ]
            ready()
            forgetting = threading.Thread(
                target=forget_what_nobody_needs,
                args=(store, log),
                kwargs={"epoch": epoch.number, "max_ahead": settings.max_ahead, "stop": stop},
                name="forgetting",
                daemon=True,
            )
            forgetting.start()
            with watching(session, settings.stream_metrics) as look_at_metrics:
                while not stop.wait(_TICK.total_seconds()):
                    horizon = None
                    with _asking_again():
                        horizon = log.horizon()
                    for follow in layers:
                        with _asking_again():
                            follow(horizon)
                    look_at_metrics()
        finally:
            stop.set()  # an archive that waits for its storage would never end
            # a micro-batch that is interrupted runs again after the start: what Spark says about it now is no news
            session.sparkContext.setLogLevel("OFF")
            for query in session.streams.active:
                query.stop()
            if spark is None:
                session.stop()


@contextmanager
def _asking_again() -> Iterator[None]:
    """What does not answer now is asked at the next tick. Until then nothing new is proven, and readers are told so."""
    try:
        yield
    except Unavailable as trouble:
        _log.warning("no progress can be told: %s", trouble)


_Follow = Callable[[Horizon | None], None]  # None: only see whether the query runs


def _archive(
    store: ViewStore, checkpoint: Checkpoint, archive: Archive, begin: Callable[[], StreamingQuery]
) -> _Follow:
    """Keeps the archive's progress current; what was proven before a restart stays proven.

    A query that is begun takes what the log has at once: so it is begun anew when somebody asks for a commit, unless
    there is nothing to commit, or as soon as a micro-batch that is under way has ended.
    """
    known = read_progress(store, ARCHIVE)
    tracker = ProgressTracker(store, ARCHIVE, known.positions if known else checkpoint.start)
    served = commit_asked_at(store)
    query = begin()

    def follow(horizon: Horizon | None) -> None:
        nonlocal query, served
        if archive.trouble is not None:
            raise archive.trouble
        finished = finished_by(query)
        proven = tracker.update(horizon, finished) if horizon is not None else None
        asked = commit_asked_at(store)
        if asked is None or asked == served:
            return
        if proven is not None and proven.included_until > asked:
            served = asked
        elif not query.status["isTriggerActive"]:
            query.stop()
            query, served = begin(), asked

    return follow


def _counted(store: ViewStore, epoch: Checkpoint) -> dict[int, int]:
    """What is known to be in the speed view of `epoch`; before it is published, only where it began."""
    known = read_progress(store, SPEED)
    ours = publication.current(store).epoch == epoch.number
    return {**epoch.start, **(known.positions if known is not None and ours else {})}


def _speed(store: ViewStore, epoch: Checkpoint, query: StreamingQuery, *, caught_up_at: Positions) -> _Follow:
    """Publishes the epoch once it has caught up with the log as it was at the start, and from then on its progress."""
    finished = _counted(store, epoch)
    tracker = ProgressTracker(store, SPEED, finished, epoch=epoch.number)
    published = publication.current(store).epoch == epoch.number

    def follow(horizon: Horizon | None) -> None:
        nonlocal published
        finished.update(finished_by(query) or {})
        if not published and has_passed(finished, caught_up_at):
            publication.publish_epoch(store, epoch.number)
            published = True
        if published and horizon is not None:
            tracker.update(horizon, finished)

    return follow


def finished_by(query: StreamingQuery) -> Positions | None:
    """The positions that the query has finished, None before its first micro-batch. Raises what has ended it."""
    if (error := query.exception()) is not None:
        raise error
    if not query.isActive:
        raise TallymarkError(f"the {query.name} query has ended without saying why; see the lines above")
    report = last_report(query)
    end = report["sources"][0]["endOffset"] if report else None
    return positions_of(end) if end else None
