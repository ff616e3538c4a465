"""The speed layer on a real Spark, over the embedded log, against the oracle."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession

from stream.log.sqlite.log import SqliteLog
from stream.speed.query import begin_epoch, start_speed
from tallymark.buckets import Grain
from tallymark.cells import SHARDS, STEP_MS, CellKey, LateCell
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tallymark.store import View
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally
from tests.support import oracle
from tests.support.dying import STEPS, dying_at
from tests.support.speed_cells import speed_cells
from tests.support.strategies import FIRST, logs

few = settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
HOUR_MS = 3_600_000
NOW = FIRST * 60_000 + 10 * HOUR_MS


class SpeedLayer:
    """One home with its log and store; `count` runs the real query over what was appended since the last call.

    `clock`: what the log's clock says, epoch ms.
    """

    def __init__(self, spark: SparkSession, home: Path, *, lateness: timedelta = timedelta(seconds=30)) -> None:
        self.settings = replace(Settings(home=home), trigger=timedelta(), lateness=lateness)
        self.clock = NOW
        self.log = SqliteLog(home / "log.sqlite", now_ms=lambda: self.clock)
        self.store = SqliteViewStore(home / "views.sqlite")
        self.spark = spark

    def append(self, batch: list[Event]) -> None:
        self.log.append([(event.event_id, encode(event)) for event in batch])

    def count(self, *batches: list[Event], generation: int = 120) -> None:
        """Each batch is a micro-batch of its own."""
        epoch = begin_epoch(self.store, self.log, self.settings)
        query = start_speed(self.spark, self.settings, epoch, generation=generation)
        try:
            for batch in batches:
                self.append(batch)
                query.processAllAvailable()
        finally:
            query.stop()

    def minutes(self, epoch: int = 1) -> dict[CellKey, Tally]:
        scans = (self.store.scan(View.SPEED, shard, Grain.MINUTE, version=epoch) for shard in range(SHARDS))
        return {cell.key: cell.tally for scan in scans for cell in scan}

    def late(self, epoch: int = 1) -> list[LateCell]:
        return [cell for shard in range(SHARDS) for cell in self.store.scan_late(shard, version=epoch)]

    def cells(self, epoch: int = 1) -> dict[CellKey, Tally]:
        """All that was counted, late or not."""
        return speed_cells(self.store, epoch)

    def counted(self, epoch: int = 1) -> int:
        return sum(tally.count for tally in self.cells(epoch).values())


def shown(cells: dict[CellKey, Tally]) -> dict[CellKey, tuple[object, ...]]:
    """Cells without the sketch's bytes, which depend on the order of merging; its estimate does not."""
    return {key: (t.count, t.sum, t.min, t.max, round(t.uniques().value)) for key, t in cells.items()}


@few
@given(batches=st.lists(logs(most=40), min_size=1, max_size=3))
def test_speed_equals_the_oracle_on_any_input_within_the_memory(
    spark: SparkSession, batches: list[list[Event]]
) -> None:
    with tempfile.TemporaryDirectory() as home:
        speed = SpeedLayer(spark, Path(home))
        speed.clock = max([NOW, *(event.occurred_at for batch in batches for event in batch)])
        speed.count(*batches)
        everything = [event for batch in batches for event in batch]
        assert shown(speed.cells()) == shown(oracle.cells(everything, Grain.MINUTE))


def event(number: int, ago: int = 0, **changes: object) -> Event:
    """One that happened so many ms before NOW."""
    fields = {"event_id": f"e{number}", "type": "view", "video_id": "v", "occurred_at": NOW - ago}
    return Event(**(fields | changes))


def test_no_clock_of_a_producer_keeps_the_events_of_others_from_being_counted(
    spark: SparkSession, tmp_path: Path
) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.count([event(0, -290_000)], *([event(10 * n + k, k) for k in range(10)] for n in range(1, 6)))
    assert sum(tally.count for tally in speed.minutes().values()) == 51


def test_an_event_that_comes_late_is_counted_at_once_and_kept_apart_by_the_step_it_came_in(
    spark: SparkSession, tmp_path: Path
) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.count(
        [event(1), event(2, 16 * 60_000), event(3, 16 * 60_000)], [event(4, 16 * 60_000), event(2, 16 * 60_000)]
    )
    assert sum(tally.count for tally in speed.minutes().values()) == 1
    (late,) = speed.late()
    assert (late.step, late.minute, late.tally.count) == (NOW // STEP_MS, (NOW - 16 * 60_000) // 60_000, 3)


def test_history_beside_live_traffic_makes_nothing_late_that_was_not(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    years = [event(n, n * 30 * 24 * HOUR_MS % (9 * HOUR_MS) + HOUR_MS) for n in range(200)]
    speed.count([*years[:100], event(1000)], [event(1001), *years[100:]], [event(1002)])
    assert sum(tally.count for tally in speed.minutes().values()) == 3
    assert sum(cell.tally.count for cell in speed.late()) == 200


def test_a_copy_is_counted_once_across_micro_batches_and_restarts(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.count([event(1), event(1)], [event(1), event(2)])
    speed.append([event(2), event(3)])
    speed.clock += 590_000
    speed.count([event(3), event(1)])
    assert speed.counted() == 3


def test_a_copy_is_taken_for_another_event_once_the_memory_is_over(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.count([event(1)])
    for minutes in range(1, 20):
        speed.clock = NOW + minutes * 60_000
        speed.append([event(100 + minutes)])
        speed.count([])
    speed.count([event(1)])
    assert speed.counted() == 21


def test_the_same_id_of_another_video_or_hour_is_another_event(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.count([event(1), event(1, video_id="w"), event(1, HOUR_MS)])
    assert speed.counted() == 3


def test_the_parts_of_many_generations_are_one_count(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    late = 9 * HOUR_MS
    batches = [[event(10 * n), event(10 * n + 1, late), event(max(0, 10 * n - 30))] for n in range(7)]
    speed.count(*batches, generation=2)
    everything = [event for batch in batches for event in batch]
    assert shown(speed.cells()) == shown(oracle.cells(everything, Grain.MINUTE))


NOT_NOTED = "before Spark notes its end"


@pytest.mark.parametrize("step", [*STEPS, NOT_NOTED])
def test_a_micro_batch_that_dies_at_any_step_is_counted_once(spark: SparkSession, tmp_path: Path, step: str) -> None:
    speed = SpeedLayer(spark, tmp_path)
    long_ago = 9 * HOUR_MS
    batches = [
        [event(10 * n), event(10 * n + 1, long_ago), event(0), event(max(0, 10 * n - 9), long_ago if n else 0)]
        for n in range(4)
    ]
    speed.count(batches[0])
    if step == NOT_NOTED:
        speed.count(batches[1])
        commits = begin_epoch(speed.store, speed.log, speed.settings).folder / "commits"
        (commits / "1").unlink()
        (commits / ".1.crc").unlink(missing_ok=True)
    else:
        armed = tmp_path / "armed"
        armed.touch()
        with dying_at(step, armed), pytest.raises(StreamingQueryException):
            speed.count(batches[1])
        assert not armed.exists()
    speed.count()
    speed.count(*batches[2:])
    everything = [event for batch in batches for event in batch]
    assert shown(speed.cells()) == shown(oracle.cells(everything, Grain.MINUTE))
    assert sum(cell.tally.count for cell in speed.late()) == 4
    assert begin_epoch(speed.store, speed.log, speed.settings).number == 1


@pytest.mark.parametrize("lost", ["folder", "segments", "spark", "lateness"])
def test_a_checkpoint_that_is_of_no_use_begins_a_new_epoch_that_recounts_the_log(
    spark: SparkSession, tmp_path: Path, lost: str
) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.count([event(1), event(2)], [event(5)])
    begun = begin_epoch(speed.store, speed.log, speed.settings)
    assert begun.number == 1
    if lost == "folder":
        begun.folder.rename(tmp_path / "lost")
    elif lost == "segments":
        (begun.folder / "ids").rename(tmp_path / "lost")
    elif lost == "spark":
        for name in ("offsets", "commits", "state"):
            (begun.folder / name).rename(tmp_path / f"lost-{name}")
    else:
        speed.settings = replace(speed.settings, lateness=timedelta(seconds=20))
    speed.count([event(3)])
    assert begin_epoch(speed.store, speed.log, speed.settings).number == 2
    assert (speed.counted(epoch=1), speed.counted(epoch=2)) == (3, 4)


def test_a_checkpoint_of_an_earlier_version_begins_a_new_epoch(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.store.write_document("checkpoints/speed/000001", json.dumps({"start": {"0": 1}}).encode())
    (tmp_path / "checkpoints" / "speed-000001").mkdir(parents=True)
    speed.count([event(1)])
    assert (speed.counted(epoch=1), speed.counted(epoch=2)) == (0, 1)


def test_records_that_are_not_events_are_passed_over(spark: SparkSession, tmp_path: Path) -> None:
    speed = SpeedLayer(spark, tmp_path)
    speed.log.append([("x", b"not json"), ("y", b"\xff\xfe"), ("z", json.dumps({"event_id": "e"}).encode())])
    speed.count([event(1)])
    speed.log.append([("x", b"not json")])
    speed.count()
    assert begin_epoch(speed.store, speed.log, speed.settings).number == 1
    assert speed.counted() == 1
