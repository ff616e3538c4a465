"""How Spark reads Kafka: by its own connector, whose records are then decoded as those of every log (ADR 31)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from stream.decoding import AsJson, decode_columns, decode_events
from stream.log import Positions, open_log
from stream.log.kafka.access import kafka_access
from stream.log.spark_source import Portion
from tallymark.errors import SettingsError
from tallymark.instants import length_ms
from tallymark.settings import Settings
from tallymark.spark.session import runs_in_this_process
from tallymark.spark.worker import set_modules_aside

__all__ = ["columns_decoded", "columns_from_kafka", "portions_of_columns"]

_EARLIEST: Final = -2  # as the connector writes it
_TASK_ROWS: Final = 200_000  # bounds a worker's memory: about 100 MB of columns
_READING: Final = {
    "isolation.level": "read_committed",  # what a transaction of another producer has taken back does not count
    "max.poll.records": "10000",  # a fifth more than by 500
    "max.partition.fetch.bytes": str(8 << 20),
}


def columns_from_kafka(
    spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int, whole: bool = False
) -> DataFrame:
    """As `spark_source.undecoded_stream`: value, appended_at, partition, offset.

    What retention removed before it was read ends the query, with Spark's words.

    Raises SettingsError when Spark has no connector.
    """
    access = kafka_access(settings)
    reader = (
        spark.readStream.format("kafka")
        .options(**{f"kafka.{name}": value for name, value in (_READING | access.java()).items()})
        .option("subscribe", access.topic)
        .option("startingOffsets", json.dumps({access.topic: _starting(settings, start)}))
        .option("maxOffsetsPerTrigger", str(max_rows))
        .option("failOnDataLoss", "true")
    )
    if not whole:
        reader = reader.option("maxRecordsPerPartition", str(_TASK_ROWS)).option(
            "minPartitions", str(spark.sparkContext.defaultParallelism)
        )
    try:
        records = reader.load()
    except AnalysisException as error:
        raise SettingsError(
            [
                "TALLYMARK_SPARK_JARS: Spark finds no connector to Kafka; name the folder with the jars of "
                f"spark-sql-kafka-0-10 and what it needs (`tallymark infra env` does): {error}"
            ]
        ) from error
    columns = records.selectExpr("value", "unix_millis(timestamp) AS appended_at", "partition", "offset")
    # A task costs as much as some thousands of records: no more of them than can run at once. How many that
    # is, is known only where the executors are this process; elsewhere they come and go.
    if whole and runs_in_this_process(settings):
        return columns.coalesce(spark.sparkContext.defaultParallelism)
    return columns


def _starting(settings: Settings, start: Positions) -> dict[str, int]:
    """The connector wants to be told of every partition that there is."""
    log = open_log(settings)
    try:
        return {str(partition): start.get(partition, _EARLIEST) for partition in log.end()}
    finally:
        log.close()


def columns_decoded(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over these columns: decodes them, as `stream.decoding.DECODED`."""
    max_ahead_ms = length_ms(settings.max_ahead)
    place = settings.schema_registry

    def decoded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        set_modules_aside()
        for batch in batches:
            values, *places = batch.columns
            yield decode_columns(values, *places, max_ahead_ms=max_ahead_ms, as_json=_as_json_by(place))

    return decoded


def portions_of_columns(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Portion]]:
    """As `spark_source.portions_in`."""
    max_ahead_ms = length_ms(settings.max_ahead)
    place = settings.schema_registry

    def portions(batches: Iterable[pa.RecordBatch]) -> Iterator[Portion]:
        set_modules_aside()
        for batch in _split_by_partition(batches):
            values, appended_at, partitions, _ = batch.columns
            taken = pc.min_max(appended_at).as_py()
            events = decode_events(values, appended_at, max_ahead_ms=max_ahead_ms, as_json=_as_json_by(place))
            yield Portion(partitions[0].as_py(), taken["min"], taken["max"], events)

    return portions


def _as_json_by(place: str) -> AsJson:
    """What others write in Avro. It loads when there is something to read: a worker begins many tasks."""

    def as_json(record: bytes) -> bytes:
        if not record.startswith(b"\0"):
            return record
        from stream.formats.registry import as_json_by

        return as_json_by(place)(record)

    return as_json


def _split_by_partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """None of them empty."""
    for batch in batches:
        ends = pc.run_end_encode(batch.column("partition")).run_ends.to_pylist()
        yield from (batch.slice(start, end - start) for start, end in pairwise([0, *ends]))
