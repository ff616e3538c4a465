"""The speed layer: the stream, counted per minute within a second or so, approximately (ADR 14).

Its error is one by design, and the audit measures it: events that come later than the watermark are not counted. A
copy of an event that was counted is either remembered, or as late as that; only a copy that names another occurred_at
is taken for an event of its own, until the recount. What is caught up on is counted as it would have been live: see
`catch_up`.
"""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.streaming.query import StreamingQuery

from stream.checkpoint import Checkpoint, resume_or_begin
from stream.log import EventLog, Positions
from stream.log.spark_source import event_stream
from stream.speed.sink import CELLS, PUT, putting
from tallymark.documents import publication
from tallymark.instants import length_ms
from tallymark.settings import Settings
from tallymark.sketch import LG_K
from tallymark.store import Stamp, ViewStore

__all__ = ["begin_epoch", "speed", "start_speed", "tallies"]

_MAX_ROWS = 300_000  # a micro-batch: what comes faster than it is counted waits in the log
# Times are counted in steps, so that the watermark stands still for many micro-batches: Spark makes and compiles new
# code for what is late whenever it moves. A minute is a whole number of steps.
_STEP = timedelta(seconds=10)


def speed(events: DataFrame, *, lateness: timedelta) -> DataFrame:
    """Minute cells of `events`, as running totals: one row of `sink.CELLS` per (video, type, minute) that changed."""
    # With the event's time in the key, an id is remembered until that time is late: for `lateness`, not twice that.
    # The watermark stays a step behind, since an event may have happened anywhere in its step.
    fresh = events.withWatermark("at", _interval(lateness + _STEP)).dropDuplicates(["identity", "at"])
    cells = tallies(fresh, by=[f.col("video_id"), f.col("type"), f.window("at", "1 minute").alias("window")])
    return cells.withColumn("minute", f.expr("unix_seconds(window.start) div 60")).select(*CELLS)


def tallies(events: DataFrame, *, by: list[Column]) -> DataFrame:
    """`tallymark.tally.Tally` as Spark's aggregates."""
    users = f.when(f.count("user_id") > 0, f.hll_sketch_agg("user_id", LG_K))
    return events.groupBy(*by).agg(
        f.count("*").alias("count"),
        f.sum("value").alias("sum"),
        f.min("value").alias("min"),
        f.max("value").alias("max"),
        users.alias("users"),
    )


def countable(events: DataFrame) -> DataFrame:
    """What is counted of `stream.decoding.EVENTS`: `at` (start of its step), `identity` (64 bits), and what is tallied.

    The identity (event_id, video_id, hour; see `tallymark.event.identity`) is hashed (ADR 15), which halves the state
    of deduplication; with 10^7 ids in it, two different events share a hash once in about 10^5 runs. The recount
    compares ids in full.
    """
    return events.select(
        f.expr(f"timestamp_millis(occurred_at - pmod(occurred_at, {length_ms(_STEP)}))").alias("at"),
        f.expr("xxhash64(event_id, video_id, occurred_at div 3600000)").alias("identity"),
        "video_id",
        "type",
        "value",
        "user_id",
    )


def begin_epoch(store: ViewStore, log: EventLog, settings: Settings) -> Checkpoint:
    """The epoch to go on with: the one of the newest checkpoint, or a new one when that is lost.

    A new epoch starts where the log holds the first event that can belong after exact_until: an event is appended at
    most `max_ahead` before it says it occurred.
    """

    def begin_at() -> Positions:
        published = publication.current(store)
        return log.positions_at(published.exact_until - settings.max_ahead)

    return resume_or_begin(store, "speed", settings.home, begin_at)


def start_speed(
    spark: SparkSession,
    settings: Settings,
    epoch: Checkpoint,
    *,
    longer: timedelta = timedelta(),
    max_rows: int = _MAX_ROWS,
) -> StreamingQuery:
    """Start counting. What goes wrong in a micro-batch ends the query; it is counted again after a restart.

    `longer`: what to add to the lateness, which may be another one after each restart. `max_rows`: of a micro-batch.
    """

    def put(cells: DataFrame, micro_batch: int) -> None:
        cells.mapInArrow(putting(settings, Stamp(epoch.number, micro_batch)), PUT).collect()

    spark.sparkContext.setLocalProperty("spark.scheduler.pool", "speed")
    events = event_stream(spark, settings, start=epoch.start, max_rows=max_rows)
    return (
        speed(countable(events), lateness=settings.lateness + longer)
        .writeStream.queryName("speed")
        .outputMode("update")
        .trigger(processingTime=_interval(settings.trigger))
        .option("checkpointLocation", str(epoch.folder))
        .foreachBatch(put)
        .start()
    )


def _interval(duration: timedelta) -> str:
    return f"{length_ms(duration)} milliseconds"
