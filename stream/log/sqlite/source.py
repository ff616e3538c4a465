"""How Spark reads the embedded log: by a Python data source, whose offsets are the log's positions.

It names ranges of offsets only. Workers read and decode them where they use them, so no record crosses into the JVM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxRows
from pyspark.sql.types import StructType

from stream.decoding import decode_events, decode_records
from stream.log import Positions, Record, log_path
from stream.log.spark_source import Portion
from stream.log.sqlite.log import PARTITION, SqliteLog
from tallymark.instants import length_ms
from tallymark.settings import Settings
from tallymark.spark.worker import set_modules_aside

__all__ = ["RANGES", "portions_of_ranges", "ranges_decoded", "ranges_from_sqlite"]

RANGES: Final = "first bigint, next bigint"  # records with first ≤ offset < next
_TASK_ROWS: Final = 200_000  # bounds a worker's memory: about 100 MB of columns
_SPLIT_ROWS: Final = 4_000  # fewer than this are not worth a second task
_BATCH_ROWS: Final = 20_000


def ranges_from_sqlite(
    spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int, whole: bool = False
) -> DataFrame:
    """As `spark_source.undecoded_stream`: RANGES, one row a task."""
    spark.dataSource.register(RangeSource)
    return (
        spark.readStream.format(RangeSource.name())
        .option("path", str(log_path(settings)))
        .option("start", json.dumps({str(k): v for k, v in start.items()}))
        .option("maxRows", str(max_rows))
        .option("tasks", "1" if whole else str(spark.sparkContext.defaultParallelism))
        .load()
    )


def ranges_decoded(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over RANGES: reads and decodes them, as `stream.decoding.DECODED`."""
    path, max_ahead_ms = log_path(settings), length_ms(settings.max_ahead)

    def decoded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for chunk in _chunks(batches, path):
            yield decode_records(chunk, max_ahead_ms=max_ahead_ms)

    return decoded


def portions_of_ranges(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Portion]]:
    """As `spark_source.portions_in`."""
    path, max_ahead_ms = log_path(settings), length_ms(settings.max_ahead)

    def portions(batches: Iterable[pa.RecordBatch]) -> Iterator[Portion]:
        for chunk in _chunks(batches, path):
            appended_at = pa.array([record.appended_at for record in chunk], pa.int64())
            values = pa.array([record.value for record in chunk], pa.binary())
            events = decode_events(values, appended_at, max_ahead_ms=max_ahead_ms)
            yield Portion(PARTITION, chunk[0].appended_at, chunk[-1].appended_at, events)

    return portions


class RangeSource(DataSource):
    """Options: path, start (JSON positions), maxRows, tasks (1: all in one; else about as many)."""

    @classmethod
    def name(cls) -> str:
        return "tallymark_log_ranges"

    def schema(self) -> str:
        return RANGES

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802 (Spark's name)
        return _Reader(dict(self.options))


class OffsetRange(InputPartition):
    """Records with start ≤ offset < end."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__((start, end))
        self.start = start
        self.end = end


class _Reader(DataSourceStreamReader):
    def __init__(self, options: Mapping[str, str]) -> None:
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
        """Even ranges: as many as there may be tasks when it pays, more when they would grow too large."""
        first, last = start[str(PARTITION)], end[str(PARTITION)]
        rows = last - first
        if rows <= 0:
            return []
        most = min(self._tasks, rows // _SPLIT_ROWS)
        tasks = 1 if self._tasks == 1 else max(most, -(-rows // _TASK_ROWS), 1)
        edges = [first + rows * i // tasks for i in range(tasks + 1)]
        return [OffsetRange(a, b) for a, b in pairwise(edges)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        assert isinstance(partition, OffsetRange)
        yield pa.RecordBatch.from_pydict({"first": [partition.start], "next": [partition.end]})


def _chunks(batches: Iterable[pa.RecordBatch], path: Path) -> Iterator[list[Record]]:
    set_modules_aside()
    for batch in batches:
        for each in batch.to_pylist():
            records = _log_at(path).read({PARTITION: each["first"]}, {PARTITION: each["next"]})
            while chunk := list(islice(records, _BATCH_ROWS)):
                yield chunk


@lru_cache(maxsize=1)
def _log_at(path: Path) -> SqliteLog:
    """A process plans every micro-batch, or reads for many tasks: it opens the log once."""
    return SqliteLog(path)
