"""The archive: log → raw, everything that decodes, late or not, duplicates too. What does not goes to dead letters.

Each micro-batch is one Delta commit that carries the application transaction (checkpoint, micro-batch): a micro-batch
that Spark runs again after a crash is recognised and skipped. While the storage does not answer, the micro-batch waits
and is tried again, and the speed layer goes on counting; what somebody must mend ends the query.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Final

import msgspec
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from stream.archive.files import WRITTEN, Written, writing
from stream.checkpoint import Checkpoint, resume_or_begin
from stream.log import EventLog
from stream.log.spark_source import undecoded_stream
from tallymark.documents.checkpoints import BegunAt
from tallymark.documents.progress import ARCHIVE, read_progress
from tallymark.errors import RawRefused, TallymarkError, Unavailable
from tallymark.instants import EPOCH, length_ms
from tallymark.logs import labelled
from tallymark.raw import RawTable
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.lease import Lease

__all__ = ["Archive", "begin_archive", "start_archive"]

_MAX_ROWS: Final = 2_000_000
_BEGINNING: Final = EPOCH
_LONGEST_PAUSE: Final = 15.0
_log = logging.getLogger(__name__)


def begin_archive(store: ViewStore, log: EventLog, settings: Settings) -> Checkpoint:
    """Where to go on: the newest checkpoint, or when that is lost, a new one from the last proven progress."""

    def begin() -> BegunAt:
        progress = read_progress(store, ARCHIVE)
        return BegunAt(start=progress.positions if progress else log.positions_at(_BEGINNING))

    return resume_or_begin(store, "archive", settings.home, begin)


def start_archive(spark: SparkSession, settings: Settings, archive: Archive, checkpoint: Checkpoint) -> StreamingQuery:
    """Start archiving. What ends the query is in `archive.trouble`; its micro-batch is archived after a restart."""
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", "archive")
    return (
        undecoded_stream(spark, settings, start=checkpoint.start, max_rows=_MAX_ROWS)
        .writeStream.queryName("archive")
        .trigger(processingTime=f"{length_ms(settings.archive_trigger)} milliseconds")
        .option("checkpointLocation", str(checkpoint.folder))
        .foreachBatch(archive.commit)
        .start()
    )


class Archive:
    """The driver's half: the executors write the files of a micro-batch, one commit makes them part of the table.

    `number` is that of the checkpoint. `lease`: confirmed before each commit. `stop` ends a wait for the storage.
    Raises RawRefused at once when the storage will not have it.
    """

    def __init__(
        self,
        settings: Settings,
        store: ViewStore,
        number: int,
        *,
        lease: Lease | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.trouble: TallymarkError | None = None
        self._settings = settings
        self._behind = False
        self._stop = stop or threading.Event()
        self._commits = RawTable(settings.raw_uri).appending(store, application=f"archive-{number}", lease=lease)
        try:
            self._commits.open()
        except Unavailable as trouble:  # the first micro-batch will wait for it
            _log.warning("the archive starts without its table: %s", trouble)

    def commit(self, records: DataFrame, micro_batch: int) -> None:
        """Archive the `records` of a micro-batch, undecoded; nothing when that is done already."""
        with labelled(layer="archive", micro_batch=micro_batch):
            self._commit_at_last(records, micro_batch)

    def _commit_at_last(self, records: DataFrame, micro_batch: int) -> None:
        began = time.monotonic()
        for pause in _pauses():
            try:
                self._commit(records, micro_batch)
                break
            except Unavailable as trouble:
                _log.warning("the archive waits %g s and tries again: %s", pause, trouble)
                if self._stop.wait(pause):
                    raise
            except TallymarkError as trouble:
                self.trouble = trouble
                raise
        self._behind = time.monotonic() - began > self._settings.archive_trigger.total_seconds()

    def _commit(self, records: DataFrame, micro_batch: int) -> None:
        if self._commits.has(micro_batch):
            return
        rows = records.coalesce(self._tasks(records)).mapInArrow(writing(self._settings), WRITTEN).collect()
        written = [msgspec.json.decode(row.report, type=Written) for row in rows]
        _raise_troubles(written)
        files = [file for task in written for file in task.files]
        self._commits.add(files, micro_batch)

    def _tasks(self, records: DataFrame) -> int:
        """While it keeps up, half of the cores: the rest are for the speed layer, whose readers wait."""
        cores = records.sparkSession.sparkContext.defaultParallelism
        return cores if self._behind else max(1, cores // 2)


def _raise_troubles(written: Sequence[Written]) -> None:
    """What one of the tasks ran into."""
    for task in written:
        if task.error is not None:
            raise (Unavailable if task.retriable else RawRefused)(task.error)


def _pauses() -> Iterator[float]:
    """Seconds before the next try: 0.5, 1, 2 … 15, 15 …"""
    return chain((0.5 * 2**n for n in range(5)), repeat(_LONGEST_PAUSE))
