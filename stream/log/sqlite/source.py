"""How Spark reads the embedded log: by Python data sources, whose offsets are the log's positions.

One of them reads a range of offsets and decodes it in one pass, so that records cross between Python and the JVM once.
The other names the ranges only, for who reads, decodes and writes in one place: then no record crosses at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import lru_cache, partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxRows
from pyspark.sql.types import StructType

from stream.decoding import SPARK_EVENTS, decode_events, decode_records
from stream.log import Positions, Record, log_path
from stream.log.sqlite.log import PARTITION, SqliteLog
from tallymark.instants import length_ms
from tallymark.settings import Settings
from tallymark.spark.worker import set_modules_aside

__all__ = ["RANGES", "events_from_sqlite", "ranges_decoded", "ranges_from_sqlite"]

RANGES: Final = "first bigint, next bigint"  # records with first ≤ offset < next
_TASK_ROWS: Final = 200_000  # bounds a worker's memory: about 100 MB of columns
_SPLIT_ROWS: Final = 4_000  # fewer than this are not worth a second task
_BATCH_ROWS: Final = 20_000


def events_from_sqlite(spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int) -> DataFrame:
    """As `spark_source.event_stream`."""
    return _load(EventSource, spark, settings, start=start, max_rows=max_rows)


def ranges_from_sqlite(spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int) -> DataFrame:
    """As `spark_source.undecoded_stream`: RANGES, one row a task."""
    return _load(RangeSource, spark, settings, start=start, max_rows=max_rows)


def ranges_decoded(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over RANGES: reads and decodes them, as `stream.decoding.DECODED`."""
    path, max_ahead_ms = log_path(settings), _ms(settings.max_ahead)

    def decode(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for each in batch.to_pylist():
                yield from _decoded(OffsetRange(each["first"], each["next"]), path=path, max_ahead_ms=max_ahead_ms)

    return decode


def _load(
    source: type[DataSource], spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int
) -> DataFrame:
    spark.dataSource.register(source)
    return (
        spark.readStream.format(source.name())
        .option("path", str(log_path(settings)))
        .option("start", json.dumps({str(k): v for k, v in start.items()}))
        .option("maxRows", str(max_rows))
        .option("maxAheadMs", str(_ms(settings.max_ahead)))
        .option("tasks", str(spark.sparkContext.defaultParallelism))
        .load()
    )


class EventSource(DataSource):
    """Options: path, start (JSON positions), maxRows, maxAheadMs, tasks."""

    @classmethod
    def name(cls) -> str:
        return "tallymark_log"

    def schema(self) -> str:
        return SPARK_EVENTS

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802 (Spark's name)
        path, max_ahead_ms = Path(self.options["path"]), int(self.options["maxaheadms"])
        return _Reader(dict(self.options), partial(_events, path=path, max_ahead_ms=max_ahead_ms))


class RangeSource(DataSource):
    """Options: as EventSource's."""

    @classmethod
    def name(cls) -> str:
        return "tallymark_log_ranges"

    def schema(self) -> str:
        return RANGES

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802
        return _Reader(dict(self.options), _named)


class OffsetRange(InputPartition):
    """Records with start ≤ offset < end."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__((start, end))
        self.start = start
        self.end = end


class _Reader(DataSourceStreamReader):
    def __init__(self, options: Mapping[str, str], read: Callable[[OffsetRange], Iterator[pa.RecordBatch]]) -> None:
        self._read = read
        self._path = Path(options["path"])
        self._start = json.loads(options["start"])
        self._max_rows = int(options["maxrows"])
        self._tasks = int(options["tasks"])

    def initialOffset(self) -> dict[str, int]:  # noqa: N802
        return {str(PARTITION): self._start[str(PARTITION)]}

    def getDefaultReadLimit(self) -> ReadLimit:  # noqa: N802
        return ReadMaxRows(self._max_rows)

    def latestOffset(self, start: dict[str, int], limit: ReadLimit) -> dict[str, int]:  # noqa: N802
        end = _log_at(self._path).end()[PARTITION]
        first = start[str(PARTITION)]
        most = end if isinstance(limit, ReadAllAvailable) else first + self._max_rows
        return {str(PARTITION): max(first, min(end, most))}

    def partitions(self, start: dict[str, int], end: dict[str, int]) -> list[OffsetRange]:
        """Even ranges: as many as there are cores when it pays, more when they would grow too large."""
        first, last = start[str(PARTITION)], end[str(PARTITION)]
        rows = last - first
        if rows <= 0:
            return []
        tasks = max(min(self._tasks, rows // _SPLIT_ROWS), -(-rows // _TASK_ROWS), 1)
        edges = [first + rows * i // tasks for i in range(tasks + 1)]
        return [OffsetRange(a, b) for a, b in pairwise(edges)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, OffsetRange)
        return self._read(partition)


def _decoded(within: OffsetRange, *, path: Path, max_ahead_ms: int) -> Iterator[pa.RecordBatch]:
    for chunk in _chunks(within, path):
        yield decode_records(chunk, max_ahead_ms=max_ahead_ms)


def _events(within: OffsetRange, *, path: Path, max_ahead_ms: int) -> Iterator[pa.RecordBatch]:
    for chunk in _chunks(within, path):
        appended_at = pa.array([record.appended_at for record in chunk], pa.int64())
        values = pa.array([record.value for record in chunk], pa.binary())
        yield decode_events(values, appended_at, max_ahead_ms=max_ahead_ms)


def _chunks(within: OffsetRange, path: Path) -> Iterator[list[Record]]:
    set_modules_aside()
    records = _log_at(path).read({PARTITION: within.start}, {PARTITION: within.end})
    while chunk := list(islice(records, _BATCH_ROWS)):
        yield chunk


def _named(within: OffsetRange) -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pydict({"first": [within.start], "next": [within.end]})


def _ms(duration: timedelta) -> int:
    return length_ms(duration)


@lru_cache(maxsize=1)
def _log_at(path: Path) -> SqliteLog:
    """A process plans every micro-batch, or reads for many tasks: it opens the log once."""
    return SqliteLog(path)
