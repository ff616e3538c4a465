"""Who runs the shards: this process, one after the other, or Spark, a task each. No shuffle: a shard needs no other.

ADR 28 says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from batch.plan import ShardTask
from batch.shard import ROWS
from batch.start import Step, Watch
from tallymark.errors import TallymarkError, Unavailable
from tallymark.settings import Settings
from tallymark.store import ViewStore

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batch.shard import ShardCount

__all__ = ["Distribute", "by_size", "on_spark", "serially", "session"]

Distribute = Callable[[Sequence[ShardTask], Watch], "list[ShardCount]"]
"""Run all tasks and tell the watcher as shards are done. What goes wrong in a task is raised."""

# the JVM only hands out tasks and collects their reports; Spark does not start with less than 450 MB
_OPTIONS: Final = {"spark.driver.memory": "512m"}


@contextmanager
def session(settings: Settings) -> Iterator[Callable[[], SparkSession]]:
    """Yields what starts the session, or returns the one that it started before."""
    started: list[SparkSession] = []

    def start() -> SparkSession:
        if not started:
            from tallymark.spark.session import start_spark

            started.append(start_spark(settings, "recompute", options=_OPTIONS))
        return started[0]

    try:
        yield start
    finally:
        for running in started:
            running.stop()


_POLL_SECONDS: Final = 0.2
# on two cores both take as long for two million rows, one process with a quarter of the memory
_FEW_ROWS: Final = 2_000_000


def serially(store: ViewStore, *, most_rows: int = ROWS) -> Distribute:
    """In this process."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[ShardCount]:
        from batch.shard import recount_shard

        counts = []
        for done, task in enumerate(tasks, start=1):
            counted = partial(watch, Step.COUNT, done, len(tasks))
            counts.append(recount_shard(task, store, counted=counted, most_rows=most_rows))
            watch(Step.ROLL_UP, done, len(tasks))
        return counts

    return distribute


def by_size(here: Distribute, there: Distribute) -> Distribute:
    """`here` when there is little to count, `there` when there is much."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[ShardCount]:
        rows = sum(task.rows for task in tasks)
        return (here if rows <= _FEW_ROWS else there)(tasks, watch)

    return distribute


def on_spark(start: Callable[[], SparkSession], settings: Settings) -> Distribute:
    """One Spark task per shard, in the order given: biggest first. Each opens the store of `settings` for itself."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[ShardCount]:
        from batch.shard import ShardCount

        spark = start()
        orders = [msgspec.json.encode(task) for task in tasks]
        numbered = spark.range(0, len(orders), 1, len(orders))
        reports = numbered.mapInArrow(_running(orders, settings), "report binary, error string, retriable boolean")
        group = f"recount {os.getpid()}"
        with ThreadPoolExecutor(max_workers=1) as collecting:
            rows = collecting.submit(_in_group, spark, group, reports.collect)
            while not _is_done(rows):
                watch(Step.ROLL_UP, _tasks_done(spark, group), len(tasks))
        for row in rows.result():
            if row.error:
                raise (Unavailable if row.retriable else TallymarkError)(row.error)
        watch(Step.ROLL_UP, len(tasks), len(tasks))
        return [msgspec.json.decode(bytes(row.report), type=ShardCount) for row in rows.result()]

    return distribute


def _running(orders: list[bytes], settings: Settings) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over the numbers of the orders."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = pa.schema([("report", pa.binary()), ("error", pa.string()), ("retriable", pa.bool_())])
        for batch in batches:
            reports = [_report(orders[number], settings) for number in batch.column(0).to_pylist()]
            yield pa.RecordBatch.from_pylist(reports, schema=schema)

    return run


def _report(order: bytes, settings: Settings) -> dict[str, bytes | str | bool]:
    """Carry out one order, in a Spark worker."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read at its import; each core has a task already
    from batch.shard import recount_shard
    from tallymark.spark.worker import set_modules_aside
    from tallymark.store.open import open_store

    set_modules_aside()
    try:
        store = open_store(settings)
        count = recount_shard(msgspec.json.decode(order, type=ShardTask), store)
    except TallymarkError as error:  # told in its own words, not in Spark's stack traces
        return {"error": str(error), "retriable": error.retriable}
    store.close()
    return {"report": msgspec.json.encode(count)}


def _in_group(spark: SparkSession, group: str, collect: Callable[[], list[Any]]) -> list[Any]:
    """Collect in a job group of its own, by which the progress is found."""
    spark.sparkContext.setJobGroup(group, "recount of all dirty shards", interruptOnCancel=True)
    return collect()


def _is_done(rows: Future[list[Any]]) -> bool:
    try:
        rows.exception(timeout=_POLL_SECONDS)
    except NotYet:
        return False
    return True


def _tasks_done(spark: SparkSession, group: str) -> int:
    tracker = spark.sparkContext.statusTracker()
    jobs = filter(None, map(tracker.getJobInfo, tracker.getJobIdsForGroup(group)))
    stages = (tracker.getStageInfo(stage) for job in jobs for stage in job.stageIds)
    return sum(stage.numCompletedTasks for stage in stages if stage)
