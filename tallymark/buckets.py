"""Time as a type: grains, buckets, and ranges that are cut and tiled. Everything is half-open, UTC, epoch minutes.

Worked number: 2026-01-01T00:00Z is epoch minute 29 453 760 (20 454 days × 1 440).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from tallymark.instants import DAY, EPOCH, HOUR, Minute, instant, minute_of

__all__ = ["Bucket", "Grain", "Span", "TimeRange"]

_EPOCH_ORDINAL: Final = EPOCH.toordinal()


class Grain(IntEnum):
    """The length of a bucket. The number is stored in row keys and never changes."""

    MINUTE = 0
    HOUR = 1
    DAY = 2
    MONTH = 3

    def floor(self, minute: Minute) -> Minute:
        """The start of the bucket that holds `minute`."""
        if self is Grain.MINUTE:
            return minute
        if self is Grain.HOUR:
            return Minute(minute - minute % HOUR)
        if self is Grain.DAY:
            return Minute(minute - minute % DAY)
        return _month_bounds(minute // DAY)[0]

    def next(self, minute: Minute) -> Minute:
        """The end of the bucket that holds `minute`: the start of the one after it."""
        if self is Grain.MONTH:
            return _month_bounds(minute // DAY)[1]
        return Minute(self.floor(minute) + (1, HOUR, DAY)[self])

    def ceil(self, minute: Minute) -> Minute:
        """The first bucket start at or after `minute`."""
        floor = self.floor(minute)
        return floor if floor == minute else self.next(minute)


@lru_cache(maxsize=4096)
def _month_bounds(day: int) -> tuple[Minute, Minute]:
    """Epoch minutes (start, end) of the month that holds epoch day `day`; leap days come from the calendar."""
    first = date.fromordinal(day + _EPOCH_ORDINAL).replace(day=1)
    after = (first + timedelta(days=31)).replace(day=1)
    return Minute((first.toordinal() - _EPOCH_ORDINAL) * DAY), Minute((after.toordinal() - _EPOCH_ORDINAL) * DAY)


class Bucket(NamedTuple):
    """One (grain, start) that is counted; `start` in epoch minutes."""

    grain: Grain
    start: Minute

    @classmethod
    def containing(cls, minute: Minute, grain: Grain) -> Bucket:
        return cls(grain, grain.floor(minute))

    @property
    def end(self) -> Minute:
        return self.grain.next(self.start)


class Span(NamedTuple):
    """A run of adjacent buckets of one grain: [start, end) in epoch minutes, both on the grain. Never empty."""

    grain: Grain
    start: Minute
    end: Minute

    @property
    def first(self) -> Bucket:
        return Bucket(self.grain, self.start)

    @property
    def last(self) -> Bucket:
        return Bucket(self.grain, self.grain.floor(Minute(self.end - 1)))

    @property
    def size(self) -> int:
        """How many buckets it is."""
        if self.grain is Grain.MONTH:
            first, after = instant(self.start), instant(self.end)
            return (after.year - first.year) * 12 + after.month - first.month
        return (self.end - self.start) // (1, HOUR, DAY)[self.grain]

    def buckets(self) -> Iterator[Bucket]:
        at = self.start
        while at < self.end:
            yield Bucket(self.grain, at)
            at = self.grain.next(at)


class TimeRange(NamedTuple):
    """[start, end) in epoch minutes. Empty when end ≤ start."""

    start: Minute
    end: Minute

    @classmethod
    def covering(cls, start: datetime, end: datetime) -> TimeRange:
        """The smallest range of whole minutes that covers [start, end): 12:00:30–12:01:00 is one minute, 12:00."""
        last = minute_of(end)
        return cls(minute_of(start), Minute(last if instant(last) == end else last + 1))

    @property
    def empty(self) -> bool:
        """Whether it holds no minute."""
        return self.start >= self.end

    def cut(self, at: Minute) -> tuple[TimeRange, TimeRange]:
        """What lies before minute `at` and what lies at or after it; either may be empty."""
        middle = min(max(at, self.start), self.end)
        return TimeRange(self.start, middle), TimeRange(middle, self.end)

    def split(self, grains: Iterable[Grain]) -> list[Span]:
        """The fewest buckets of `grains` that tile the range exactly, as runs in order of time (ADR 5).

        Ten years from 2016-02-03T04:05 are at most seven runs: minutes, hours, days, months, days, hours, minutes.
        Coarse buckets are unions of whole finer ones, so taking the coarsest that fits is optimal.
        Raises ValueError when the ends do not lie on the finest grain given.
        """
        coarsest_first = sorted(set(grains), reverse=True)
        return list(_tile(self.start, self.end, coarsest_first))


def _tile(start: Minute, end: Minute, grains: list[Grain]) -> Iterator[Span]:
    if start >= end:
        return
    if not grains:
        raise ValueError(f"[{instant(start).isoformat()}, {instant(end).isoformat()}) does not lie on the finest grain")
    grain, finer = grains[0], grains[1:]
    inner_start, inner_end = grain.ceil(start), grain.floor(end)
    if inner_start >= inner_end:
        yield from _tile(start, end, finer)
        return
    yield from _tile(start, inner_start, finer)
    yield Span(grain, inner_start, inner_end)
    yield from _tile(inner_end, end, finer)
