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

from batch.counting.count import Counted, Part, count, count_more
from batch.counting.stored import stored_with
from batch.plan import DayTask, HourTask, ShardTask
from tallymark.buckets import Grain
from tallymark.columns.keys import Keys
from tallymark.columns.packing import to_rows
from tallymark.columns.tallies import Tallies
from tallymark.rows import EMPTY
from tallymark.store import Attempt, ViewStore

__all__ = ["Counts", "Handed", "Slice", "count_slice", "parts_of", "put_minutes", "put_tallies", "slices"]


class Slice(msgspec.Struct, frozen=True, array_like=True):
    """`hours` of a shard, starts in epoch minutes, whose raw rows are in `files`; `rows`: how much work that is.

    `part`: (first, length) of the rows of all files, where the one hour is cut. `parts`: into so many the roll-up of
    the shard is divided. `at_once`: rows that a task may hold. `known_until_ms`: what the log took before it is counted
    by version `base`, and stays; 0 where all is counted.
    """

    attempt: int
    base: int
    known_until_ms: int
    shard: int
    counted_until_ms: int
    hours: list[int]
    rows: int
    files: list[str]
    part: Part | None
    parts: int
    at_once: int


class Counts(msgspec.Struct, kw_only=True):
    """What one task did: the figures by which the whole is checked, and which add up.

    `rows` raw rows were read by hour; `known` of them the published version has counted, and of the others `events`
    count; the hour and the minute rows must hold as many more. `marked` events do not count, as they say themselves.
    `foreign`: events of videos that belong to other shards. `last`: the last minute with an event. `written` rows were
    put, `empty` ones among them to say that nothing is left.
    """

    shard: int
    rows: dict[int, int] = {}
    known: int = 0
    events: int = 0
    marked: int = 0
    in_hours: int = 0
    in_minutes: int = 0
    foreign: int = 0
    last: int | None = None
    written: int = 0
    empty: int = 0
    counting_seconds: float = 0.0
    rolling_up_seconds: float = 0.0

    def note_events(self, found: Counted) -> None:
        """These count, or are marked."""
        minutes = found.minutes
        self.events += minutes.events
        self.marked += found.marked
        wrong = minutes.keys.shards[minutes.key] != self.shard
        self.foreign += int(minutes.count[wrong].sum())
        if minutes.events:
            latest = int(minutes.start[minutes.count > 0].max())
            self.last = latest if self.last is None else max(self.last, latest)


class Handed(NamedTuple):
    """What a slice hands to a part of its shard's roll-up.

    `hours` that were counted whole, `before` of whose events the published version has counted; of parts of an hour
    `minutes`, and rows that may be copies of others' rows.
    """

    hours: Tallies | None = None
    before: int = 0
    minutes: Tallies | None = None
    unsettled: pl.DataFrame | None = None


def slices(task: ShardTask, *, rows_each: int, at_once: int, parts: int) -> Iterator[Slice]:
    """The task in slices of about `rows_each` raw rows, in order of time: of whole hours, but those of more than
    `at_once` rows, which are cut. Hours of which most rows are known have slices of their own."""
    taken: list[tuple[DayTask, HourTask]] = []
    rows = 0

    def taken_as_slice(part: Part | None = None) -> Slice:
        hours = [hour.start for _, hour in taken]
        days = {day.start: day for day, _ in taken}.values()
        return Slice(
            attempt=task.attempt,
            base=task.base,
            known_until_ms=task.known_until_ms if taken and taken[0][1].known else 0,
            shard=task.shard,
            counted_until_ms=task.counted_until_ms,
            hours=hours,
            rows=rows,
            # days may share a file
            files=[*{file.uri: None for day in days for file in day.files if any(map(file.overlaps, hours))}],
            part=part,
            parts=parts,
            at_once=at_once,
        )

    for day, hour in _in_two_rounds(task):
        unlike = bool(taken) and bool(taken[0][1].known) != bool(hour.known)
        if unlike or (taken and rows + hour.work > rows_each):
            yield taken_as_slice()
            taken, rows = [], 0
        taken.append((day, hour))
        rows += hour.work
        if hour.rows > at_once and not hour.known:  # and is alone
            total = sum(file.rows for file in day.files if file.overlaps(hour.start))
            for first in range(0, total, at_once):
                yield taken_as_slice(Part(first, min(at_once, total - first)))
            taken, rows = [], 0
    if taken or not task.rows:  # of no rows: so that each task has a slice
        yield taken_as_slice()


def _in_two_rounds(task: ShardTask) -> Iterator[tuple[DayTask, HourTask]]:
    """The hours with rows: first those that are counted whole, then those of which most rows are known."""
    for known in (False, True):
        for day in task.days:
            yield from ((day, hour) for hour in day.hours if hour.rows and bool(hour.known) == known)


def count_slice(one: Slice, store: ViewStore) -> tuple[Counts, list[Handed]]:
    """Count it and put its minute rows; returns what it hands to each part of the shard's roll-up."""
    started = time.perf_counter()
    done = Counts(shard=one.shard)
    handed = _count_more(one, store, done) if one.known_until_ms else _count_all(one, store, done)
    done.counting_seconds = time.perf_counter() - started
    return done, handed


def _count_all(one: Slice, store: ViewStore, done: Counts) -> list[Handed]:
    found = count(one.files, one.hours, taken_before=one.counted_until_ms, part=one.part, at_once=one.at_once)
    done.rows = dict(found.rows)
    done.note_events(found)
    if one.part is None:
        put_minutes(found.minutes, store, attempt=one.attempt, done=done)
        return [Handed(hours=some.rolled_up(Grain.HOUR)) for some in _divided(found.minutes, one.parts)]
    divided = zip(_divided(found.minutes, one.parts), _divided_rows(found.unsettled, one.parts), strict=True)
    return [Handed(minutes=some, unsettled=rows) for some, rows in divided]


def _count_more(one: Slice, store: ViewStore, done: Counts) -> list[Handed]:
    """Add what came since to what the published version has: the tallies of a key in an hour are whole again."""
    found = count_more(
        one.files,
        one.hours,
        known_until=one.known_until_ms,
        taken_before=one.counted_until_ms,
        at_once=one.at_once,
    )
    done.rows = dict(found.rows)
    done.known = sum(found.rows.values()) - found.more
    done.note_events(found)
    handed = []
    for some in _divided(found.minutes, one.parts):
        before = stored_with(some, store, version=one.base)
        whole = Tallies.added([some, before])
        put_minutes(whole, store, attempt=one.attempt, done=done)
        done.in_minutes -= before.events
        handed.append(Handed(hours=whole.rolled_up(Grain.HOUR), before=before.events))
    return handed


def put_minutes(minutes: Tallies, store: ViewStore, *, attempt: int, done: Counts) -> None:
    """Put the rows of hours that are counted whole."""
    done.in_minutes += minutes.events
    put_tallies(minutes, store, attempt=attempt, done=done)


def put_tallies(tallies: Tallies, store: ViewStore, *, attempt: int, done: Counts) -> None:
    """Put all rows that `tallies` touch."""
    rows = to_rows(tallies)
    done.written += store.put_rows(rows, version=Attempt(attempt))
    done.empty += sum(row.numbers == EMPTY for row in rows)


def parts_of(keys: Keys, parts: int) -> npt.NDArray[np.int64]:
    """Which part of a shard's roll-up each key belongs to: by its video, the same in every process."""
    return keys.video_hashes % parts


def _divided(minutes: Tallies, parts: int) -> Iterator[Tallies]:
    if parts == 1:
        yield minutes
        return
    part_of = parts_of(minutes.keys, parts)[minutes.key]
    yield from (minutes.where(part_of == part) for part in range(parts))


def _divided_rows(rows: pl.DataFrame, parts: int) -> Iterator[pl.DataFrame]:
    keys = Keys(rows)
    part_of = parts_of(keys, parts)[keys.numbers(rows)]
    yield from (rows.filter(part_of == part) for part in range(parts))
