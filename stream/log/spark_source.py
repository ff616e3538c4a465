"""How Spark reads the event log: as a stream from given positions, of events or of records not decoded yet.

Records that are written away where they are decoded need not pass through the JVM: the archive decodes in the worker
that writes. The speed layer's are counted by Spark, and come to it as events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from stream.log import Positions
from tallymark.settings import Settings

__all__ = ["Decode", "decoding", "event_stream", "positions_of", "undecoded_stream"]

Decode = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def undecoded_stream(spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int) -> DataFrame:
    """The log from `start` on, as rows of which `decoding` makes records; at most `max_rows` records a micro-batch.

    Partitions that `start` does not name, because the log got them later, are read from their beginning.
    """
    if _is_kafka(settings):
        from stream.log.kafka.source import columns_from_kafka

        return columns_from_kafka(spark, settings, start=start, max_rows=max_rows)
    from stream.log.sqlite.source import ranges_from_sqlite

    return ranges_from_sqlite(spark, settings, start=start, max_rows=max_rows)


def decoding(settings: Settings) -> Decode:
    """A function for mapInArrow over `undecoded_stream`: its records as `stream.decoding.DECODED`."""
    if _is_kafka(settings):
        from stream.log.kafka.source import columns_decoded

        return columns_decoded(settings)
    from stream.log.sqlite.source import ranges_decoded

    return ranges_decoded(settings)


def event_stream(spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int) -> DataFrame:
    """As `undecoded_stream`, the events among its records as `stream.decoding.EVENTS`."""
    if _is_kafka(settings):
        from stream.log.kafka.source import events_from_kafka

        return events_from_kafka(spark, settings, start=start, max_rows=max_rows)
    from stream.log.sqlite.source import events_from_sqlite

    return events_from_sqlite(spark, settings, start=start, max_rows=max_rows)


def positions_of(offset: str | dict[str, Any]) -> dict[int, int]:
    """The log positions in a source offset, as a query's progress reports it, as text or read already: of the embedded
    log `{"0": 17}`, of Kafka `{"topic": {"0": 17, "1": 9}}`."""
    told = json.loads(offset) if isinstance(offset, str) else offset
    for inner in told.values():
        if isinstance(inner, dict):
            told = inner
    return {int(partition): position for partition, position in told.items()}


def _is_kafka(settings: Settings) -> bool:
    return settings.log.startswith("kafka:")
