"""What is dirty, and only that: the two looks, what a crashed attempt leaves behind, and how far hours are sealed."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.counting.slices import Slice, slices
from batch.ledger import rows_counted, runs
from batch.on_spark import Work
from batch.plan import QUIET, DayTask, HourTask, ShardTask, provable_until
from batch.start import Step
from tallymark.buckets import Grain, Span
from tallymark.cells import SHARDS, shard_of
from tallymark.documents.attempts import as_pairs, attempt, hours_of
from tallymark.errors import IncompatibleStore, NothingToRecount
from tallymark.event import Event
from tallymark.instants import instant, instant_of, millis_of
from tallymark.raw import RawFile, RawTable, RawVersion
from tests.support.raw_writer import RawRow
from tests.support.recounts import MIDNIGHT, Crash, World, crashing_after
from tests.support.strategies import instants, quick

pairs = st.sets(st.tuples(st.integers(0, 2000).map(lambda hour: MIDNIGHT + hour * 60), st.integers(0, SHARDS - 1)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An hour of two videos is counted and published: exact until midnight."""
    world = World(tmp_path)
    world.append(*(event(f"{video}{n}", video, MIDNIGHT - 60 + n) for video in "xy" for n in range(3)))
    world.append(event("seals", "x", MIDNIGHT + 5))
    world.recompute()
    assert world.published.boundary == MIDNIGHT
    return world


def event(event_id: str, video_id: str, minute: int) -> Event:
    return Event(event_id=event_id, type="view", video_id=video_id, occurred_at=minute * 60_000)


def planned(world: World) -> set[tuple[int, int]]:
    """The pairs of the last attempt."""
    record = attempt(world.store, world.published.version)
    assert record is not None
    return hours_of(record.pairs)


def test_late_events_reopen_exactly_their_pairs(world: World) -> None:
    late = [("x", MIDNIGHT - 60), ("y", MIDNIGHT - 3000), ("x", MIDNIGHT - 1)]
    world.append(*(event(f"late{n}", video, minute) for n, (video, minute) in enumerate(late)))
    world.recompute()
    assert planned(world) == {
        (MIDNIGHT - 60, shard_of("x")),
        (MIDNIGHT - 3000, shard_of("y")),
    }


def test_a_duplicate_is_a_row_and_reopens_its_pair(world: World) -> None:
    world.append(event("x0", "x", MIDNIGHT - 60))
    assert world.recompute().duplicates == 1
    assert planned(world) == {(MIDNIGHT - 60, shard_of("x"))}
    world.assert_exact()


def test_compaction_is_no_change(world: World) -> None:
    world.append(event("open", "x", MIDNIGHT + 6))
    world.compact()
    assert not world.recompute().published


def test_rows_of_open_hours_are_not_counted(world: World) -> None:
    world.append(event("open", "y", MIDNIGHT + 40))
    assert not world.recompute().published


def test_an_hour_is_counted_when_it_is_sealed_whatever_is_dirty_elsewhere(world: World) -> None:
    world.append(event("next", "y", MIDNIGHT + 62))
    world.recompute()
    assert planned(world) == {(MIDNIGHT, shard_of("x"))}
    assert world.published.boundary == MIDNIGHT + 60


def test_a_crashed_attempts_pairs_are_planned_again(world: World) -> None:
    world.append(event("late", "x", MIDNIGHT - 60))
    with pytest.raises(Crash):
        world.recompute(watch=crashing_after(Step.COUNT))
    world.delete("late")
    world.recompute()
    assert planned(world) == {(MIDNIGHT - 60, shard_of("x"))}
    world.assert_exact()


def test_an_hour_that_shrank_is_swept_until_a_version_is_published(world: World) -> None:
    world.delete("x1")
    with pytest.raises(Crash):
        world.recompute(watch=crashing_after(Step.BEGIN))
    world.append(event("other", "x", MIDNIGHT - 10))  # as many rows as before
    world.recompute()
    world.assert_exact()


def test_a_day_whose_rows_are_all_gone_is_found(world: World) -> None:
    world.append(event("old", "y", MIDNIGHT - 10 * 1440))
    world.recompute()
    world.delete("old")
    assert world.recompute().published
    assert planned(world) == {(MIDNIGHT - 10 * 1440, shard_of("y"))}
    world.assert_exact()


def test_the_ledger_says_what_each_version_counted(world: World) -> None:
    first = world.published.version
    world.append(event("late", "x", MIDNIGHT - 60))
    second = world.recompute().publication.version
    day, shard = MIDNIGHT - 1440, shard_of("x")
    counted = [rows_counted(world.store, Grain.DAY, {shard: [day]}, version=version) for version in (first, second)]
    assert counted == [{(day, shard): 3}, {(day, shard): 4}]


def test_a_file_that_only_has_other_hours_is_not_read(world: World) -> None:
    before = {file.uri for file in RawTable(world.writer.uri).pin().files}
    world.append(event("late", "x", MIDNIGHT - 300))
    for uri in before:  # of the day: the first look differs, the second takes their one hour from the table's log
        Path(uri).unlink()
    assert world.recompute().published


def test_a_missing_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToRecount, match="tallymark up"):
        RawTable(str(tmp_path / "nothing")).pin()


def test_an_empty_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NothingToRecount, match="holds no events yet"):
        World(tmp_path).recompute()


def test_files_without_statistics_are_refused_by_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    rows = [RawRow(event("a", "x", MIDNIGHT), 0, 0, 0)]
    world.writer.commit_as(rows, day="2026-02-01", shard=shard_of("x"), stats={})
    with pytest.raises(IncompatibleStore, match=r"num_records.*max\.occurred_at"):
        RawTable(world.writer.uri).pin()


def raw_until(newest: datetime, taken: datetime) -> RawVersion:
    """A table whose newest event is of `newest`, and of which the log took the newest row at `taken`."""
    first, last, appended = (millis_of(at) for at in (newest, newest, taken))
    return RawVersion(1, (RawFile("f", 0, 0, 1, first, last, appended_ms=appended),), last)


@quick
@given(instants, st.integers(-(10**8), 10**8), st.integers(0, 7200), st.integers(0, 600))
def test_hours_are_sealed_by_the_archive_and_by_event_time_while_events_come(
    until: datetime, apart_ms: int, lateness_s: int, silent_s: int
) -> None:
    lateness, silent = timedelta(seconds=lateness_s), timedelta(seconds=silent_s)
    newest = until + timedelta(milliseconds=apart_ms)
    sealed = provable_until(until, raw_until(newest, until - silent), lateness)
    bound = until if silent >= QUIET else min(until, instant_of(millis_of(newest)))
    assert sealed + lateness <= bound < sealed + lateness + timedelta(hours=1)
    assert (sealed.minute, sealed.second, sealed.microsecond) == (0, 0, 0)


@quick
@given(pairs)
def test_pairs_are_put_on_record_and_read_back(hours: set[tuple[int, int]]) -> None:
    assert hours_of(as_pairs(hours)) == hours


def test_pairs_are_on_record_as_people_write_them() -> None:
    assert as_pairs({(MIDNIGHT + 60, 3), (MIDNIGHT, 3), (MIDNIGHT - 60, 3)}) == {
        "2026-01-31": {3: [23]},
        "2026-02-01": {3: [0, 1]},
    }
    assert instant(MIDNIGHT).isoformat() == "2026-02-01T00:00:00+00:00"


def test_adjacent_hours_are_one_run() -> None:
    assert runs(Grain.HOUR, [300, 60, 120, 180, 120]) == [Span(Grain.HOUR, 60, 240), Span(Grain.HOUR, 300, 360)]


def shard_task(days: list[list[int]]) -> ShardTask:
    """Days of hours with so many rows, each hour in a file of its own."""
    tasks = []
    for number, rows in enumerate(days):
        start = MIDNIGHT + number * 1440
        hours = [HourTask(start + 60 * hour, count, False) for hour, count in enumerate(rows)]
        files = [
            RawFile(f"{hour.start}", start, 0, hour.rows, hour.start * 60_000, (hour.start + 59) * 60_000)
            for hour in hours
        ]
        tasks.append(DayTask(start, hours, files, {start + 1380: 7} if len(rows) < 24 else {}))
    return ShardTask(2, 1, 0, 0, 0, tasks, {})


def ends(part: Slice) -> tuple[int, int] | None:
    return None if part.part is None else (part.part[0], sum(part.part))


@quick
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=24), min_size=1, max_size=5),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_slices_are_bounded_and_hold_every_row_once(days: list[list[int]], each: int, at_once: int) -> None:
    task = shard_task(days)
    found = list(slices(task, rows_each=min(each, at_once), at_once=at_once, parts=1))
    full = {hour.start: hour.rows for day in task.days for hour in day.hours if hour.rows}
    whole = [part for part in found if part.part is None]
    assert [hour for part in whole for hour in part.hours] == [hour for hour, rows in full.items() if rows <= at_once]
    for part in whole:
        assert part.rows == sum(full[hour] for hour in part.hours)
        assert part.rows <= each or len(part.hours) <= 1
        assert part.files == [str(hour) for hour in part.hours]
    for hour, rows in full.items():
        cut = [ends(part) for part in found if part.part is not None and part.hours == [hour]]
        edges = [*range(0, rows, at_once), rows] if rows > at_once else []
        assert cut == list(pairwise(edges))


def test_there_are_as_many_slices_as_there_is_work_for() -> None:
    a_day = [10_000] * 24
    assert len(list(slices(shard_task([a_day]), rows_each=10_000, at_once=10**6, parts=1))) == 24
    tasks = [shard_task([a_day]) for _ in range(SHARDS)]
    work = Work.of(tasks, cores=384, at_once=10**6, smallest=10_000)
    assert len(work.slices) == 384
    assert len(work.units) == SHARDS
    few = Work.of(tasks, cores=2, at_once=10**6)
    assert len(few.slices) == SHARDS
    hot = Work.of([shard_task([[10_000, 9_000_000]])], cores=2, at_once=10**6)
    assert len(hot.slices) == 1 + 9
    assert len(hot.units) == 10
