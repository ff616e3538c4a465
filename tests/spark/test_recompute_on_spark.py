"""The recount with its shards on Spark: the same cells as in one process, byte by byte, and errors in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from batch.distribute import serially
from batch.on_spark import on_spark
from batch.processes import side_by_side
from batch.recompute import recompute
from batch.start import Step
from tallymark.buckets import Grain
from tallymark.cells import SHARDS
from tallymark.errors import StoreUnavailable
from tallymark.event import Event
from tallymark.settings import Settings
from tallymark.store import View
from tallymark.store.sqlite import SqliteViewStore
from tallymark.tally import Tally
from tests.support.recounts import LATENESS, MIDNIGHT, World, many_events


def all_cells(store: SqliteViewStore, version: int) -> dict[object, Tally]:
    return {
        cell.key: cell.tally
        for grain in Grain
        for shard in range(SHARDS)
        for cell in store.scan(View.BATCH, shard, grain, version=version)
    }


def crowd(seed: int) -> list[Event]:
    """An hour of one video with more events than are counted at once, some of them copies."""
    fresh = [
        Event(
            event_id=f"crowd-{seed}-{n}",
            type="view",
            video_id="hot",
            occurred_at=MIDNIGHT * 60_000 - n,
            user_id=f"u{n}",
        )
        for n in range(1, 700)
    ]
    return [*fresh, *fresh[::5]]


@pytest.mark.parametrize("rows_at_once", [1_000_000, 100])
@pytest.mark.parametrize("where", ["spark", "processes"])
def test_wherever_it_is_counted_it_is_what_one_process_counts_and_the_oracle(
    spark: SparkSession, tmp_path: Path, where: str, rows_at_once: int
) -> None:
    """A hundred rows at once: hours are cut, and the roll-up of a shard is divided."""
    world = World(tmp_path)
    settings = Settings(home=tmp_path, store=f"sqlite:{tmp_path}/views.sqlite", recount_rows=rows_at_once)
    distribute = on_spark(lambda: spark, settings) if where == "spark" else side_by_side(settings, processes=2)
    alone = SqliteViewStore(tmp_path / "alone.sqlite")
    for seed in range(2):  # the second time, late events and further hours
        world.append(*many_events(4000, seed), *crowd(seed))
        world.archived_until(MIDNIGHT + 1440 * (1 + seed))
        alone.write_document("progress/archive", world.store.read_document("progress/archive") or b"")
        seen: list[tuple[Step, int, int]] = []
        recompute(
            world.store,
            world.table,
            lateness=LATENESS,
            distribute=distribute,
            watch=lambda *told, seen=seen: seen.append(told),
        )
        recompute(alone, world.table, lateness=LATENESS, distribute=serially(alone, at_once=9**6))
        assert any(step is Step.ROLL_UP and done == of > 0 for step, done, of in seen)
        counted = [done for step, done, _ in seen if step is Step.COUNT]
        assert counted == list(range(1, len(counted) + 1))
        assert bool(counted) == (where != "spark")
        assert all_cells(world.store, 1 + seed) == all_cells(alone, 1 + seed)
        world.assert_exact()


@pytest.mark.parametrize("where", ["processes", "spark"])
def test_what_fails_in_a_task_is_told_as_what_it_is(spark: SparkSession, tmp_path: Path, where: str) -> None:
    world = World(tmp_path)
    world.append(*many_events(100, 3))
    world.archived_until(MIDNIGHT + 1440)
    (tmp_path / "folder").mkdir()
    elsewhere = Settings(home=tmp_path, store=f"sqlite:{tmp_path}/folder")
    distribute = on_spark(lambda: spark, elsewhere) if where == "spark" else side_by_side(elsewhere, processes=2)
    with pytest.raises(StoreUnavailable, match=r"view store .*folder.*check that the disk has room"):
        recompute(world.store, world.table, lateness=LATENESS, distribute=distribute)
    assert world.published.version == 0
