"""The recount on Spark: a task for each slice, one shuffle, a task for each part of a shard's roll-up.

What crosses the shuffle are the tallies of hours: raw rows never leave the task that read them. Tasks of a worker on
this machine or another open the store themselves, and what goes wrong in them is told in its own words.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from batch.distribute import Distribute, parts_of_rollup
from batch.plan import ShardTask
from batch.start import Step, Watch
from tallymark.errors import TallymarkError
from tallymark.settings import Settings
from tallymark.store.open import store_of_process

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batch.counting.slices import Counts, Slice

__all__ = ["Work", "on_spark", "session"]

_OPTIONS: Final = {
    # the JVM hands out tasks and moves what slices hand on; Spark does not start with less than 450 MB
    "spark.driver.memory": "512m",
    # what a slice hands on is a few large rows: one at a time
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
}


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
_TASKS_A_CORE: Final = 3  # so that those which end early find more to do
_SMALLEST: Final = 25_000
_REPORT: Final = {"counts": "binary", "error": "binary"}
_HANDED: Final = {"unit": "int", "payload": "binary", **_REPORT}


def on_spark(start: Callable[[], SparkSession], settings: Settings) -> Distribute:
    """A Spark task for each slice, and then for each part of a roll-up. Each opens the store of `settings` itself."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        from batch.counting.slices import Counts

        spark = start()
        work = Work.of(tasks, cores=spark.sparkContext.defaultParallelism, at_once=settings.recount_rows)
        numbered = spark.range(0, len(work.slices), 1, len(work.slices))
        handed = numbered.mapInArrow(_counting(work.slices, settings), _ddl(_HANDED))
        by_unit = handed.repartitionById(len(work.units), "unit")
        reports = by_unit.mapInArrow(_rolling_up(work.units, settings), _ddl(_REPORT))
        group = f"recount {os.getpid()}"
        total = len(work.slices) + len(work.units)
        with ThreadPoolExecutor(max_workers=1) as collecting:
            rows = collecting.submit(_in_group, spark, group, reports.collect)
            while not _is_done(rows):
                watch(Step.ROLL_UP, _tasks_done(spark, group), total)
        for row in rows.result():
            if row.error is not None:
                error: TallymarkError = pickle.loads(row.error)  # noqa: S301 - by a task of this recount
                raise error
        watch(Step.ROLL_UP, total, total)
        return [msgspec.json.decode(bytes(row.counts), type=Counts) for row in rows.result()]

    return distribute


class _Unit(msgspec.Struct, frozen=True):
    """One part of a shard's roll-up."""

    task: ShardTask
    part: int
    parts: int


class Work(msgspec.Struct, frozen=True):
    """What there is to do, as JSON: slices, biggest first, each with the first unit of its shard; and units."""

    slices: list[bytes]
    units: list[bytes]

    @classmethod
    def of(cls, tasks: Sequence[ShardTask], *, cores: int, at_once: int, smallest: int = _SMALLEST) -> Work:
        """`smallest`: rows, less is not worth a task. `at_once`: rows, more are too many for one."""
        from batch.counting.slices import slices

        rows_each = max(smallest, sum(task.work for task in tasks) // (cores * _TASKS_A_CORE))
        cut: list[tuple[int, Slice]] = []
        units: list[_Unit] = []
        for task in tasks:
            parts = parts_of_rollup(task, at_once)
            first = len(units)
            units += [_Unit(task, part, parts) for part in range(parts)]
            of_task = slices(task, rows_each=min(rows_each, at_once), at_once=at_once, parts=parts)
            cut += [(first, one) for one in of_task]
        cut.sort(key=lambda one: -one[1].rows)
        return cls([*map(msgspec.json.encode, cut)], [*map(msgspec.json.encode, units)])


def _counting(
    slices: list[bytes], settings: Settings
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over the numbers of the slices."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        _make_ready()
        from batch.counting.slices import Slice, count_slice

        for batch in batches:
            for number in batch.column(0).to_pylist():
                first, one = msgspec.json.decode(slices[number], type=tuple[int, Slice])
                try:
                    counts, handed = count_slice(one, store_of_process(settings))
                except TallymarkError as error:
                    yield _row(_HANDED, unit=first, error=pickle.dumps(error))
                    continue
                yield _row(_HANDED, unit=first, counts=msgspec.json.encode(counts))
                for part, some in enumerate(handed):
                    yield _row(_HANDED, unit=first + part, payload=pickle.dumps(some, protocol=5))

    return run


def _rolling_up(
    units: list[bytes], settings: Settings
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over what slices handed to one unit; what they counted and told goes on as it is."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        _make_ready()
        from pyspark import TaskContext

        from batch.counting.rollup import roll_up

        context = TaskContext.get()
        assert context is not None
        unit = msgspec.json.decode(units[context.partitionId()], type=_Unit)
        handed = []
        failed = False
        for batch in batches:
            for row in batch.to_pylist():
                if row["payload"] is not None:
                    handed.append(pickle.loads(row["payload"]))  # noqa: S301 - by a task of this recount
                    continue
                failed |= row["error"] is not None
                yield _row(_REPORT, **{name: row[name] for name in _REPORT})
        if failed:
            return
        try:
            counts = roll_up(unit.task, handed, store_of_process(settings), part=unit.part, parts=unit.parts)
        except TallymarkError as error:
            yield _row(_REPORT, error=pickle.dumps(error))
        else:
            yield _row(_REPORT, counts=msgspec.json.encode(counts))

    return run


def _make_ready() -> None:
    """In a Spark worker, where a task begins."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read at its import; each core has a task already
    from tallymark.spark.worker import set_modules_aside

    set_modules_aside()


def _row(columns: dict[str, str], **values: Any) -> pa.RecordBatch:
    import pyarrow as pa

    types = {"int": pa.int32(), "binary": pa.binary()}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    return pa.RecordBatch.from_pylist([values], schema=schema)


def _ddl(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


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
