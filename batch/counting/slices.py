"""Slices: the hours of one shard that one task counts, or a part of an hour that is too large for one.

    shard's task ──cut──▶ slices ──count_slice──▶ minute rows, put · the rest, handed to the roll-up (`rollup`)

An hour is counted whole, so its minute rows are written without reading any. All carry the attempt's number as version,
which nobody reads until it is published: so a task may die anywhere, and may run twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from batch.counting.count import Counted, Part, count
from batch.plan import DayTask, ShardTask
from tallymark.buckets import Grain
from tallymark.columns.keys import Keys
from tallymark.columns.packing import to_rows
from tallymark.columns.tallies import Tallies
from tallymark.rows import EMPTY
from tallymark.store import Attempt, ViewStore

__all__ = ["Counts", "Handed", "Slice", "count_slice", "parts_of", "put_minutes", "slices"]


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """`rows` raw rows in `files` (with how many rows each has) of `hours`, starts in epoch minutes.

    `part`: (first, length) of the rows of all files, where the one hour is cut. `parts`: into so many the roll-up of
    the shard is divided. `at_once`: rows that a task may hold.
    """

    attempt: int
    shard: int
    counted_until_ms: int
    hours: list[int]
    rows: int
    files: list[str]
    part: tuple[int, int] | None
    parts: int
    at_once: int


class Counts(msgspec.Struct, kw_only=True):
    """What one task did: the figures by which the whole is checked, and which add up.

    `rows` raw rows were read by hour, and `events` of them count; the hour and the minute rows must hold as many.
    `foreign`: events of videos that belong to other shards. `last`: the last minute with an event. `written` rows were
    put, `empty` ones among them to say that nothing is left.
    """

    shard: int
    rows: dict[int, int] = {}
    events: int = 0
    in_hours: int = 0
    in_minutes: int = 0
    foreign: int = 0
    last: int | None = None
    written: int = 0
    empty: int = 0
    counting_seconds: float = 0.0
    rolling_up_seconds: float = 0.0

    def note_events(self, minutes: Tallies) -> None:
        """These count."""
        self.events += minutes.events
        wrong = minutes.keys.shards[minutes.key] != self.shard
        self.foreign += int(minutes.count[wrong].sum())
        if minutes.events:
            latest = int(minutes.start[minutes.count > 0].max())
            self.last = latest if self.last is None else max(self.last, latest)


class Handed(NamedTuple):
    """What a slice hands to a part of its shard's roll-up.

    `hours` that were counted whole; of parts of an hour `minutes`, and rows that may be copies of others' rows.
    """

    hours: Tallies | None = None
    minutes: Tallies | None = None
    unsettled: pl.DataFrame | None = None


def slices(task: ShardTask, *, rows_each: int, at_once: int, parts: int) -> Iterator[Slice]:
    """The task in slices of about `rows_each` raw rows, in order of time: of whole hours, but those of more than
    `at_once` rows, which are cut."""
    taken: list[tuple[DayTask, int]] = []
    rows = 0

    def taken_as_slice(part: tuple[int, int] | None = None) -> Slice:
        hours = [hour for _, hour in taken]
        days = {day.start: day for day, _ in taken}.values()
        files = [file.uri for day in days for file in day.files if any(map(file.overlaps, hours))]
        return Slice(
            task.attempt, task.shard, task.counted_until_ms, hours, rows, files, part, parts=parts, at_once=at_once
        )

    for day in task.days:
        for hour in day.hours:
            if not hour.rows:
                continue
            if taken and rows + hour.rows > rows_each:
                yield taken_as_slice()
                taken, rows = [], 0
            taken.append((day, hour.start))
            rows += hour.rows
            if hour.rows > at_once:  # and is alone
                total = sum(file.rows for file in day.files if file.overlaps(hour.start))
                for first in range(0, total, at_once):
                    yield taken_as_slice((first, min(at_once, total - first)))
                taken, rows = [], 0
    if taken or not task.rows:  # of no rows: so that each task has a slice
        yield taken_as_slice()


def count_slice(one: Slice, store: ViewStore) -> tuple[Counts, list[Handed]]:
    """Count it and put its minute rows; returns what it hands to each part of the shard's roll-up."""
    started = time.perf_counter()
    done = Counts(shard=one.shard)
    part = None if one.part is None else Part(*one.part)
    found = count(one.files, one.hours, taken_before=one.counted_until_ms, part=part, at_once=one.at_once)
    done.rows = dict(found.rows)
    done.note_events(found.minutes)
    if one.part is None:
        put_minutes(found.minutes, store, attempt=one.attempt, done=done)
    handed = list(_divided(found, whole=one.part is None, parts=one.parts))
    done.counting_seconds = time.perf_counter() - started
    return done, handed


def put_minutes(minutes: Tallies, store: ViewStore, *, attempt: int, done: Counts) -> None:
    """Put the rows of hours that are counted whole."""
    rows = to_rows(minutes)
    done.in_minutes += minutes.events
    done.written += store.put_rows(rows, version=Attempt(attempt))
    done.empty += sum(row.numbers == EMPTY for row in rows)


def parts_of(keys: Keys, parts: int) -> npt.NDArray[np.int64]:
    """Which part of a shard's roll-up each key belongs to: by its video, the same in every process."""
    return keys.video_hashes % parts


def _divided(found: Counted, *, whole: bool, parts: int) -> Iterator[Handed]:
    part_of = parts_of(found.minutes.keys, parts)[found.minutes.key]
    for part in range(parts):
        minutes = found.minutes if parts == 1 else found.minutes.where(part_of == part)
        if whole:
            yield Handed(hours=minutes.rolled_up(Grain.HOUR))
        else:
            rows = found.unsettled
            mine = parts_of(Keys(rows), parts)[Keys(rows).numbers(rows)] == part if parts > 1 else None
            yield Handed(minutes=minutes, unsettled=rows if mine is None else rows.filter(mine))
