"""The roll-up: hour, day and month rows of a shard, or of a part of its videos, from the hours that slices counted.

    handed by the slices ──▶ hours ──▶ hour rows (a day each) ──▶ day rows (a month) ──▶ month rows (a year)
                                        + hours that stay          + other days           + other months

Only what an attempt touches is rolled up. The store is asked for the buckets of those rows that it did not count, as
the published version has them; where that has none, it is not asked at all.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import polars as pl

from batch.counting.count import settle
from batch.counting.slices import Counts, Handed, parts_of, put_minutes
from batch.plan import ShardTask
from tallymark.buckets import Grain
from tallymark.cells import row_of
from tallymark.columns.keys import Keys
from tallymark.columns.packing import from_rows, places, row_keys, to_rows
from tallymark.columns.ragged import Integers, edges
from tallymark.columns.tallies import Tallies, floors
from tallymark.rows import EMPTY
from tallymark.store import Attempt, ViewStore

__all__ = ["roll_up"]

_ROWS_AT_ONCE: Final = 20_000  # that are asked for in one go


def roll_up(task: ShardTask, handed: Sequence[Handed], store: ViewStore, *, part: int = 0, parts: int = 1) -> Counts:
    """Put all rows of the shard above the minutes, and the minutes of hours that were counted in parts."""
    started = time.perf_counter()
    done = Counts(shard=task.shard)
    hours = _hours(task, handed, store, done, part=part, parts=parts)
    if hours is not None:
        done.in_hours = hours.events
        days = _put_whole(task, hours, store, done, stays=_kept_hours(task)).rolled_up(Grain.DAY)
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
        minutes = Tallies.added([*in_parts, settled])
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


def _kept_hours(task: ShardTask) -> set[int]:
    return {hour for day in task.days for hour in day.kept}


def _months(task: ShardTask) -> set[int]:
    return set(floors(np.array(list(task.counted_days), dtype=np.int64), Grain.MONTH).tolist())


def _put_whole(task: ShardTask, counted: Tallies, store: ViewStore, done: Counts, *, stays: set[int]) -> Tallies:
    """Put the rows that `counted` touches, and return all that they hold.

    `stays`: the starts of the buckets that the published version has and that stay where `counted` has no other.
    """
    stored = _stored(task, counted, store, stays) if stays else None
    whole = counted if stored is None else Tallies.added([counted, stored.without(counted)])
    rows = to_rows(whole)
    done.written += store.put_rows(rows, version=Attempt(task.attempt))
    done.empty += sum(row.numbers == EMPTY for row in rows)
    return whole


def _stored(task: ShardTask, counted: Tallies, store: ViewStore, stays: set[int]) -> Tallies | None:
    """What the published version has in the rows that `counted` touches, as far as it stays."""
    grain = counted.grain
    starts = np.array(sorted(stays), dtype=np.int64)
    row_start, _ = places(counted.start, grain)
    first = edges(counted.key << 32 | row_start)[:-1]
    asked = first[np.isin(row_start[first], places(starts, grain)[0])]
    found = [
        _read(store, counted, asked[at : at + _ROWS_AT_ONCE], row_start, version=task.base)
        for at in range(0, len(asked), _ROWS_AT_ONCE)
    ]
    if not found:
        return None
    stored = Tallies.added(found)
    return stored.where(np.isin(stored.start, starts))


def _read(store: ViewStore, counted: Tallies, at: Integers, row_start: Integers, *, version: int) -> Tallies:
    """The rows that the tallies at those places belong to."""
    names = row_keys(counted.keys, counted.key[at], row_start[at], counted.grain)
    stored = store.get_rows(names, version=version)
    there = np.array([name in stored for name in names], dtype=np.bool_)
    rows = [stored[name] for name in names if name in stored]
    return from_rows(
        counted.grain,
        counted.keys,
        key=counted.key[at][there],
        row_start=row_start[at][there],
        numbers=[row.numbers for row in rows],
        users=[row.users for row in rows],
    )
