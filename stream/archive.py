"""The archive: log → raw, everything that decodes, late or not, duplicates too. What does not goes to dead letters.

Each micro-batch is one Delta commit that carries the application transaction (checkpoint, micro-batch): a micro-batch
that Spark runs again after a crash is recognised and skipped.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from stream.checkpoint import Checkpoint, resume_or_begin
from stream.log import EventLog, Positions
from stream.log.spark_source import decoded_stream
from stream.progress import ARCHIVE, read_progress
from stream.raw_files import RAW, WRITTEN, RawFile, writing
from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["Archive", "begin_archive", "start_archive"]

_MAX_ROWS: Final = 2_000_000
_HOUR_MS: Final = 3_600_000
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def begin_archive(store: ViewStore, log: EventLog, settings: Settings) -> Checkpoint:
    """Where to go on: the newest checkpoint, or when that is lost, a new one from the last proven progress."""

    def begin_at() -> Positions:
        progress = read_progress(store, ARCHIVE)
        return progress.positions if progress else log.positions_at(_BEGINNING)

    return resume_or_begin(store, "archive", settings.home, begin_at)


def start_archive(spark: SparkSession, settings: Settings, store: ViewStore, checkpoint: Checkpoint) -> StreamingQuery:
    """Start archiving. What goes wrong in a micro-batch ends the query; it is archived after a restart."""
    archive = Archive(settings, store, checkpoint.number)
    spark.sparkContext.setLocalProperty("spark.scheduler.pool", "archive")
    return (
        decoded_stream(spark, settings, start=checkpoint.start, max_rows=_MAX_ROWS)
        .writeStream.queryName("archive")
        .trigger(processingTime=f"{settings.archive_trigger // timedelta(milliseconds=1)} milliseconds")
        .option("checkpointLocation", str(checkpoint.folder))
        .foreachBatch(archive.commit)
        .start()
    )


class Archive:
    """The driver's half: one commit per micro-batch, and word of the rows that come after their hour can be sealed."""

    def __init__(self, settings: Settings, store: ViewStore, number: int) -> None:
        self._settings = settings
        self._store = store
        self._application = f"archive-{number}"
        if "://" not in settings.raw_uri:
            Path(settings.raw_uri).mkdir(parents=True, exist_ok=True)
        self._table = DeltaTable.create(
            settings.raw_uri, schema=RAW, mode="ignore", partition_by=["day", "shard"], name="raw"
        )
        self._newest_ms = _newest_occurred(self._table)

    def commit(self, records: DataFrame, micro_batch: int) -> None:
        self._table.update_incremental()
        done = self._table.transaction_version(self._application)
        if done is not None and done >= micro_batch:
            return
        late_before_ms = self._sealable_before_ms()
        rows = records.mapInArrow(writing(self._settings, late_before_ms=late_before_ms), WRITTEN).collect()
        files = [msgspec.json.decode(row.file, type=RawFile) for row in rows]
        self._note_late(files)
        self._table.create_write_transaction(
            [_add_action(file) for file in files],
            mode="append",
            schema=RAW,
            partition_by=["day", "shard"],
            commit_properties=CommitProperties(app_transactions=[Transaction(self._application, micro_batch)]),
        )
        self._newest_ms = max(self._newest_ms, *(file.occurred[1] for file in files), 0)

    def _sealable_before_ms(self) -> int:
        """No publication that does not contain this commit can have an exact_until after this instant."""
        lateness_ms = self._settings.lateness // timedelta(milliseconds=1)
        return (self._newest_ms - lateness_ms) // _HOUR_MS * _HOUR_MS

    def _note_late(self, files: list[RawFile]) -> None:
        """Say how many rows of which (shard, hour) come late, before they are committed: never too late to be told."""
        late: dict[int, Counter[str]] = defaultdict(Counter)
        for file in files:
            late[file.shard].update(file.late)
        rows = {str(shard): dict(hours) for shard, hours in late.items() if hours}
        if rows:
            self._store.write_document(f"pending/{self._table.version() + 1:012d}", json.dumps(rows).encode())


def _newest_occurred(table: DeltaTable) -> int:
    """The newest occurred_at of the table in epoch ms, from its statistics; 0 when it is empty."""
    newest = pa.table(table.get_add_actions(flatten=True)).to_pydict().get("max.occurred_at", [])
    return max(newest, default=0)


def _add_action(file: RawFile) -> AddAction:
    first, last = file.occurred
    stats = {"numRecords": file.rows, "minValues": {"occurred_at": first}, "maxValues": {"occurred_at": last}}
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values={"day": file.day, "shard": str(file.shard)},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=json.dumps(stats | {"nullCount": {}}),
    )
