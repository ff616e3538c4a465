"""How Spark reads the event log: as a stream from given positions, of records that its workers decode.

Both layers decode where they use what they decode: the archive in the worker that writes, the speed layer in the one
that tallies. So no event passes through the JVM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from stream.log import Positions
from tallymark.settings import Settings

__all__ = ["Decode", "Portion", "decoding", "portions_in", "positions_of", "undecoded_stream"]

Decode = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


class Portion(NamedTuple):
    """Some records of one partition that lie side by side: those that are events, as `stream.decoding.EVENTS`.

    The log took its records, events or not, between `first_ms` and `newest_ms`, epoch ms.
    """

    partition: int
    first_ms: int
    newest_ms: int
    events: pa.RecordBatch


def undecoded_stream(
    spark: SparkSession, settings: Settings, *, start: Positions, max_rows: int, whole: bool = False
) -> DataFrame:
    """The log from `start` on, as rows of which `decoding` makes records; at most `max_rows` records a micro-batch.

    Partitions that `start` does not name, because the log got them later, are read from their beginning. `whole`: a
    task gets all of a partition, in order; otherwise as many tasks as use the machine best.
    """
    if settings.log_is_kafka:
        from stream.log.kafka.source import columns_from_kafka

        return columns_from_kafka(spark, settings, start=start, max_rows=max_rows, whole=whole)
    from stream.log.sqlite.source import ranges_from_sqlite

    return ranges_from_sqlite(spark, settings, start=start, max_rows=max_rows, whole=whole)


def decoding(settings: Settings) -> Decode:
    """A function for mapInArrow over `undecoded_stream`: its records as `stream.decoding.DECODED`."""
    if settings.log_is_kafka:
        from stream.log.kafka.source import columns_decoded

        return columns_decoded(settings)
    from stream.log.sqlite.source import ranges_decoded

    return ranges_decoded(settings)


def portions_in(settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Portion]]:
    """A function over the rows of `undecoded_stream` that a task has got: what it brings, in the order of the log."""
    if settings.log_is_kafka:
        from stream.log.kafka.source import portions_of_columns

        return portions_of_columns(settings)
    from stream.log.sqlite.source import portions_of_ranges

    return portions_of_ranges(settings)


def positions_of(offset: str | dict[str, Any]) -> dict[int, int]:
    """The log positions in a source offset, as a query's progress reports it, as text or read already: of the embedded
    log `{"0": 17}`, of Kafka `{"topic": {"0": 17, "1": 9}}`."""
    told = json.loads(offset) if isinstance(offset, str) else offset
    for inner in told.values():
        if isinstance(inner, dict):
            told = inner
    return {int(partition): position for partition, position in told.items()}
