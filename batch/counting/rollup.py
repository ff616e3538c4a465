"""The roll-up: hour, day and month rows of a shard, or of a part of its videos, from the hours that slices counted.

    handed by the slices ──▶ hours ──▶ hour rows (a day each) ──▶ day rows (a month) ──▶ month rows (a year)
                                        + hours that stay          + other days           + other months

Only what an attempt touches is rolled up. The store is asked for the buckets of those rows that it did not count, as
the published version has them; where that has none, it is not asked at all.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from batch.counting.count import settle
from batch.counting.slices import Counts, Handed, parts_of, put_minutes, put_tallies
from batch.counting.stored import stored_with
from batch.plan import ShardTask
from tallymark.buckets import Grain
from tallymark.cells import row_of
from tallymark.columns.keys import Keys
from tallymark.columns.packing import places
from tallymark.columns.tallies import Tallies, floors
from tallymark.store import ViewStore

__all__ = ["roll_up"]


def roll_up(task: ShardTask, handed: Sequence[Handed], store: ViewStore, *, part: int = 0, parts: int = 1) -> Counts:
    """Put all rows of the shard above the minutes, and the minutes of hours that were counted in parts."""
    started = time.perf_counter()
    done = Counts(shard=task.shard)
    hours = _hours(task, handed, store, done, part=part, parts=parts)
    if hours is not None:
        done.in_hours = hours.events - sum(each.before for each in handed)
        days = _put_whole(task, hours, store, done, stays=_staying_hours(task)).rolled_up(Grain.DAY)
        months = _put_whole(task, days, store, done, stays=set(task.counted_days)).rolled_up(Grain.MONTH)
        _put_whole(task, months, store, done, stays=_months(task))
    done.rolling_up_seconds = time.perf_counter() - started
    return done


def _hours(
    task: ShardTask, handed: Sequence[Handed], store: ViewStore, done: Counts, *, part: int, parts: int
) -> Tallies | None:
    """The hours that this attempt counted, and those of which nothing is left."""
    found = [each.hours for each in handed if each.hours is not None]
    in_parts = [each.minutes for each in handed if each.minutes is not None]
    if in_parts:
        settled = settle([each.unsettled for each in handed if each.unsettled is not None])
        done.note_events(settled)
        minutes = Tallies.added([*in_parts, settled.minutes])
        put_minutes(minutes, store, attempt=task.attempt, done=done)
        found.append(minutes.rolled_up(Grain.HOUR))
    shrunk = {hour.start for day in task.days for hour in day.hours if hour.shrunk}
    if shrunk:
        stored = _stored_hours(store, task, shrunk)
        stored = stored.where(parts_of(stored.keys, parts)[stored.key] == part)
        gone = stored.without(Tallies.added(found)) if found else stored
        nothing = Tallies.nothing(Grain.MINUTE, gone.keys, key=gone.key, start=gone.start)
        put_minutes(nothing, store, attempt=task.attempt, done=done)
        found.append(gone)
    return Tallies.added(found) if found else None


def _stored_hours(store: ViewStore, task: ShardTask, hours: Collection[int]) -> Tallies:
    """The hours in which any attempt left a row of minutes, as hours of no event: those are put first, hours later."""
    at = (row_of(key) for key in store.row_keys(task.shard, Grain.MINUTE))
    found = [(row.video_id, row.type, row.start) for row in at if row.start in hours]
    rows = pl.DataFrame(found, schema={"video_id": pl.String, "type": pl.String, "start": pl.Int64}, orient="row")
    keys = Keys(rows)
    return Tallies.nothing(Grain.HOUR, keys, key=keys.numbers(rows), start=rows["start"].to_numpy())


def _staying_hours(task: ShardTask) -> set[int]:
    """Of which the published version's tallies stay where this attempt has no other."""
    known = {hour.start for day in task.days for hour in day.hours if hour.known}
    return known | {hour for day in task.days for hour in day.kept}


def _months(task: ShardTask) -> set[int]:
    return set(floors(np.array(list(task.counted_days), dtype=np.int64), Grain.MONTH).tolist())


def _put_whole(task: ShardTask, counted: Tallies, store: ViewStore, done: Counts, *, stays: set[int]) -> Tallies:
    """Put the rows that `counted` touches, and return all that they hold.

    `stays`: the starts of the buckets that the published version has and that stay where `counted` has no other.
    """
    whole = counted
    if stays:
        starts = np.array(sorted(stays), dtype=np.int64)
        stored = stored_with(counted, store, version=task.base, of=places(starts, counted.grain)[0])
        stored = stored.where(np.isin(stored.start, starts))
        whole = Tallies.added([counted, stored.without(counted)])
    put_tallies(whole, store, attempt=task.attempt, done=done)
    return whole
