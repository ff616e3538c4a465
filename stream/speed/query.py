"""The speed layer: the stream, counted per minute within a second or so (ADR 14, ADR 45, ADR 48).

    log ──▶ decode, drop copies, partial tallies ──▶ running totals ──▶ view store
            where a partition is read (`partials`)    Spark's state      `sink`

What it counts depends on no producer's clock and on no order of reading. Its error is one: copies that lie further
apart in the log than `memory`, or in two partitions, are counted twice until the recount; the audit measures it.

Spark's state is kept by *generation*, a run of micro-batches: a time that all rows of a micro-batch share and that the
watermark follows. So Spark drops nothing as late, and forgets a generation as a whole when the next one begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.streaming.query import StreamingQuery

from stream.checkpoint import Checkpoint, resume_or_begin
from stream.log import EventLog
from stream.log.spark_source import Portion, portions_in, positions_of, undecoded_stream
from stream.speed.memory import memory_of
from stream.speed.partials import partial_tallies
from stream.speed.segments import is_whole
from stream.speed.sink import CELLS, PUT, putting
from tallymark.cells import STEP_MS
from tallymark.documents import publication
from tallymark.documents.checkpoints import BegunAt
from tallymark.documents.publication import Publication
from tallymark.instants import Millis, instant_of, length_ms, millis_of, minute_at
from tallymark.settings import Settings
from tallymark.spark.worker import micro_batch_of_task
from tallymark.store import ViewStore

__all__ = ["begin_epoch", "running_totals", "start_speed", "tallying"]

_FORM: Final = 2  # of what is in a checkpoint: of another form, it is of no use
_MAX_ROWS: Final = 300_000  # a micro-batch: what comes faster than it is counted waits in the log
# Micro-batches. Spark looks through all of its state in each, at 0.4 us a key: so a generation must end some time.
# Of another length, the generations of an epoch would overlap: then _FORM changes too.
_GENERATION: Final = 120
_PARTIALS: Final = (
    "video_id string, type string, minute bigint, step bigint, count bigint, sum bigint, min bigint, max bigint, "
    "users binary, generation timestamp"
)
_KEY: Final = ("video_id", "type", "minute", "step")


def begin_epoch(store: ViewStore, log: EventLog, settings: Settings) -> Checkpoint:
    """The epoch to go on with: the one of the newest checkpoint, or a new one when that is lost, of another form, or
    made with another lateness.

    A new epoch reads the log from where the first event lies that can belong after exact_until: an event is appended at
    most `max_ahead` before it says it occurred. It leaves minutes before that to the epochs before it.
    """
    lateness_ms, memory_ms = length_ms(settings.lateness), length_ms(settings.memory)

    def begin() -> BegunAt:
        published = publication.current(store)
        first_ms = millis_of(published.exact_until - settings.max_ahead) // STEP_MS * STEP_MS
        return BegunAt(
            start=log.positions_at(instant_of(Millis(first_ms))),
            form=_FORM,
            lateness_ms=lateness_ms,
            since=_since(published, log, first_ms, length_ms(settings.max_ahead)) if published.version else 0,
        )

    def is_usable(checkpoint: Checkpoint) -> bool:
        begun = checkpoint.begun
        fits = (begun.form, begun.lateness_ms) == (_FORM, lateness_ms)
        return fits and is_whole(checkpoint.folder, memory_ms=memory_ms, positions_of=positions_of)

    return resume_or_begin(store, "speed", settings.home, begin, is_usable=is_usable)


def _since(published: Publication, log: EventLog, first_ms: int, max_ahead_ms: int) -> int:
    """The first minute of which the log has all that is not late: that of exact_until, or a later one, when the log no
    longer has what it took from `first_ms` on. Then a version was published again that is older than that."""
    missing = [at for at in log.trimmed().values() if at > first_ms]
    return max([published.boundary, *(minute_at(Millis(at + max_ahead_ms)) + 1 for at in missing)])


def start_speed(
    spark: SparkSession,
    settings: Settings,
    epoch: Checkpoint,
    *,
    max_rows: int = _MAX_ROWS,
    generation: int = _GENERATION,
) -> StreamingQuery:
    """Start counting. What goes wrong in a micro-batch ends the query; it is counted again after a restart.

    `max_rows`: of a micro-batch. `generation`: how many micro-batches it lasts, the same for all of an epoch.
    """

    spark.sparkContext.setLocalProperty("spark.scheduler.pool", "speed")
    records = undecoded_stream(spark, settings, start=epoch.start, max_rows=max_rows, whole=True)
    partials = records.mapInArrow(tallying(settings, epoch, generation), _PARTIALS)
    return (
        running_totals(partials)
        .mapInArrow(putting(settings, epoch.number, generation), PUT)
        .writeStream.queryName("speed")
        .format("noop")  # all has been put when its rows come to an end
        .outputMode("update")
        .trigger(processingTime=f"{length_ms(settings.counting_interval)} milliseconds")
        .option("checkpointLocation", str(epoch.folder))
        .start()
    )


def tallying(
    settings: Settings, epoch: Checkpoint, generation: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over undecoded records: their partial tallies, with the generation they belong to."""
    read = portions_in(settings)
    lateness_ms, memory_ms = length_ms(settings.lateness), length_ms(settings.memory)
    folder, since = epoch.folder, epoch.begun.since

    def tally(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        micro_batch = micro_batch_of_task()
        time = pa.scalar(micro_batch // generation * 1_000_000, pa.timestamp("us", "UTC"))
        for partition, portions in _by_partition(read(batches)).items():
            memory = memory_of(Path(folder), partition, memory_ms)
            partials = partial_tallies(portions, memory, micro_batch=micro_batch, lateness_ms=lateness_ms, since=since)
            yield partials.append_column("generation", pa.repeat(time, partials.num_rows))

    return tally


def running_totals(partials: DataFrame) -> DataFrame:
    """Rows of `sink.CELLS` that changed: the totals of a generation, which `tallymark.tally` adds up alike."""
    return (
        partials.withWatermark("generation", "0 seconds")
        .groupBy(*_KEY, f.window("generation", "1 second"))
        .agg(
            f.sum("count").alias("count"),
            f.sum("sum").alias("sum"),
            f.min("min").alias("min"),
            f.max("max").alias("max"),
            f.when(f.count("users") > 0, f.hll_union_agg("users")).alias("users"),
        )
        .select(*CELLS)
    )


def _by_partition(portions: Iterable[Portion]) -> dict[int, list[Portion]]:
    found: dict[int, list[Portion]] = defaultdict(list)
    for portion in portions:
        found[portion.partition].append(portion)
    return found
