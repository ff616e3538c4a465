"""How Spark reads the embedded log: by a Python data source, whose offsets are the log's positions.

Its tasks read a range of offsets and decode it in one pass, so that records cross between Python and the JVM once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import DataSource, DataSourceStreamReader, InputPartition
from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadLimit, ReadMaxRows
from pyspark.sql.types import StructType

from stream.decoding import SPARK_DECODED, decode_records
from stream.log import Positions, log_path
from stream.log.sqlite import PARTITION, SqliteLog
from tallymark.settings import Settings

__all__ = ["decoded_from_sqlite"]

_NAME: Final = "tallymark_log"
_TASK_ROWS: Final = 200_000  # bounds a worker's memory: about 100 MB of columns
_SPLIT_ROWS: Final = 4_000  # fewer than this are not worth a second task
_BATCH_ROWS: Final = 20_000


def decoded_from_sqlite(spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int) -> DataFrame:
    """As `spark_source.decoded_stream`."""
    spark.dataSource.register(SqliteLogSource)
    return (
        spark.readStream.format(_NAME)
        .option("path", str(log_path(settings)))
        .option("start", json.dumps({str(k): v for k, v in start.items()}))
        .option("maxRows", str(max_rows))
        .option("maxAheadMs", str(round(settings.max_ahead.total_seconds() * 1000)))
        .option("tasks", str(spark.sparkContext.defaultParallelism))
        .load()
    )


class SqliteLogSource(DataSource):
    """Options: path, start (JSON positions), maxRows, maxAheadMs, tasks."""

    @classmethod
    def name(cls) -> str:
        return _NAME

    def schema(self) -> str:
        return SPARK_DECODED

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802 (Spark's name)
        return _SqliteLogReader(dict(self.options))


class OffsetRange(InputPartition):
    """Records with start ≤ offset < end."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__((start, end))
        self.start = start
        self.end = end


class _SqliteLogReader(DataSourceStreamReader):
    def __init__(self, options: Mapping[str, str]) -> None:
        self._path = Path(options["path"])
        self._start = json.loads(options["start"])
        self._max_rows = int(options["maxrows"])
        self._max_ahead_ms = int(options["maxaheadms"])
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
        records = _log_at(self._path).read({PARTITION: partition.start}, {PARTITION: partition.end})
        while chunk := list(islice(records, _BATCH_ROWS)):
            yield decode_records(chunk, max_ahead_ms=self._max_ahead_ms)


@lru_cache(maxsize=1)
def _log_at(path: Path) -> SqliteLog:
    """A process plans every micro-batch, or reads for many tasks: it opens the log once."""
    return SqliteLog(path)
