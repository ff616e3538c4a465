"""How Spark reads the event log: decoded records as a stream, from given positions."""

from __future__ import annotations

import json

from pyspark.sql import DataFrame, SparkSession

from stream.log import Positions
from tallymark.settings import Settings

__all__ = ["decoded_stream", "positions_of"]


def decoded_stream(spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int) -> DataFrame:
    """The log from `start` on as a streaming frame of `stream.decoding.DECODED`; at most `max_rows` a micro-batch.

    Partitions that `start` does not name, because the log got them later, are read from their beginning.
    """
    if settings.log.startswith("kafka:"):
        from stream.log.kafka_source import decoded_from_kafka

        return decoded_from_kafka(spark, settings, start=start, max_rows=max_rows)
    from stream.log.sqlite_source import decoded_from_sqlite

    return decoded_from_sqlite(spark, settings, start=start, max_rows=max_rows)


def positions_of(offset: str) -> dict[int, int]:
    """The log positions in a source offset, as a query's progress reports it: of the embedded log `{"0": 17}`, of Kafka
    `{"topic": {"0": 17, "1": 9}}`."""
    told = json.loads(offset)
    for inner in told.values():
        if isinstance(inner, dict):
            told = inner
    return {int(partition): position for partition, position in told.items()}
