"""The speed layer on a real Spark, over the embedded log, against the oracle."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from stream.log.sqlite.log import SqliteLog
from stream.speed.query import begin_epoch, start_speed, tallies
from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import SHARDS, CellKey, CellSpan
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tallymark.sketch import Sketch
from tallymark.store import View
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.strategies import FIRST, events, logs

few = settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOUR = timedelta(hours=1)


class SpeedLayer:
    """One home with its log and store; `count` runs the real query over what was appended since the last call."""

    def __init__(self, spark: SparkSession, home: Path, lateness: timedelta) -> None:
        self.settings = replace(Settings(home=home), trigger=timedelta(), lateness=lateness)
        self.log = SqliteLog(home / "log.sqlite")
        self.store = SqliteViewStore(home / "views.sqlite")
        self.spark = spark

    def append(self, batch: list[Event]) -> None:
        self.log.append([(event.event_id, encode(event)) for event in batch])

    def count(self, *batches: list[Event]) -> None:
        """Each batch is a micro-batch of its own."""
        epoch = begin_epoch(self.store, self.log, self.settings)
        query = start_speed(self.spark, self.settings, epoch)
        try:
            for batch in batches:
                self.append(batch)
                query.processAllAvailable()
        finally:
            query.stop()

    def cells(self, epoch: int = 1) -> dict[CellKey, Tally]:
        scans = (self.store.scan(View.SPEED, shard, Grain.MINUTE, version=epoch) for shard in range(SHARDS))
        return {cell.key: cell.tally for scan in scans for cell in scan}


def shown(cells: dict[CellKey, Tally]) -> dict[CellKey, tuple[object, ...]]:
    """Cells without the sketch's bytes, which depend on the order of merging; its estimate does not."""
    return {key: (t.count, t.sum, t.min, t.max, round(t.uniques().value)) for key, t in cells.items()}


@few
@given(batches=st.lists(logs(most=40), min_size=1, max_size=3))
def test_speed_equals_the_oracle_on_any_input_within_the_watermark(
    spark: SparkSession, batches: list[list[Event]]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        layer = SpeedLayer(spark, Path(home), lateness=timedelta(hours=4))
        layer.count(*batches)
        everything = [event for batch in batches for event in batch]
        assert shown(layer.cells()) == shown(oracle.cells(everything, Grain.MINUTE))


def event(number: int, minute: int, **changes: object) -> Event:
    fields = {"event_id": f"e{number}", "type": "view", "video_id": "v", "occurred_at": (FIRST + minute) * 60_000}
    return Event(**(fields | changes))


def count_at(layer: SpeedLayer, minute: int, epoch: int = 1) -> int | None:
    at = FIRST + minute
    found = layer.store.get(View.SPEED, [CellSpan("v", "view", Span(Grain.MINUTE, at, at + 1))], version=epoch)
    tally = found.get(CellKey("v", "view", Bucket(Grain.MINUTE, at)))
    return None if tally is None else tally.count


def test_an_event_later_than_the_watermark_is_the_only_one_not_counted(spark: SparkSession, tmp_path: Path) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    # Spark drops by the watermark of the micro-batch before the last: an event is late no sooner than that
    layer.count([event(1, 600)], [event(4, 600)], [event(2, 541), event(3, 539)])
    assert (count_at(layer, 541), count_at(layer, 539)) == (1, None)


def test_an_event_as_late_as_allowed_is_counted_wherever_in_its_step_the_newest_lies(
    spark: SparkSession, tmp_path: Path
) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    newest = (FIRST + 600) * 60_000 + 9_999
    as_late = event(2, 0, occurred_at=newest - 3_600_000)
    layer.count([event(1, 0, occurred_at=newest)], [event(3, 600)], [as_late])
    assert count_at(layer, 540) == 1


def test_a_duplicate_within_lateness_is_counted_once_across_micro_batches(spark: SparkSession, tmp_path: Path) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    layer.count([event(1, 0), event(1, 0)], [event(1, 0), event(2, 0)])
    assert count_at(layer, 0) == 2


def test_the_same_id_of_another_video_or_hour_is_another_event(spark: SparkSession, tmp_path: Path) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    layer.count([event(1, 0), event(1, 0, video_id="w"), event(1, 60)])
    assert (count_at(layer, 0), count_at(layer, 60)) == (1, 1)


def test_a_restart_goes_on_where_the_query_stopped(spark: SparkSession, tmp_path: Path) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    layer.count([event(1, 0)])
    layer.append([event(2, 0), event(1, 0)])
    layer.count([event(3, 0)])
    assert count_at(layer, 0) == 3


def test_a_lost_checkpoint_begins_a_new_epoch_that_recounts_the_log(spark: SparkSession, tmp_path: Path) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    layer.count([event(1, 0), event(2, 0)])
    begun = begin_epoch(layer.store, layer.log, layer.settings)
    begun.folder.rename(tmp_path / "lost")
    layer.count([event(3, 0)])
    assert begun.number == 1
    assert begin_epoch(layer.store, layer.log, layer.settings).number == 2
    assert count_at(layer, 0, epoch=1) == 2
    assert count_at(layer, 0, epoch=2) == 3


def test_records_that_are_not_events_are_passed_over(spark: SparkSession, tmp_path: Path) -> None:
    layer = SpeedLayer(spark, tmp_path, lateness=HOUR)
    layer.log.append([("x", b"not json"), ("y", b"\xff\xfe"), ("z", json.dumps({"event_id": "e"}).encode())])
    layer.count([event(1, 0)])
    assert count_at(layer, 0) == 1


@few
@given(some=st.lists(events(length=1), min_size=1, max_size=300))
def test_spark_writes_the_same_sketch_as_the_kernel(spark: SparkSession, some: list[Event]) -> None:
    rows = [(event.value, event.user_id) for event in some]
    frame = spark.createDataFrame(rows, "value bigint, user_id string")
    (row,) = tallies(frame, by=[]).collect()
    known = [event.user_id for event in some if event.user_id is not None]
    ours = Sketch.of(known)
    theirs = None if row.users is None else Sketch(bytes(row.users))
    assert (row["count"], row["sum"]) == (len(some), sum(event.value for event in some))
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert theirs.estimate() == ours.estimate()
        assert (ours + theirs).estimate().value == ours.estimate().value
