"""Local time: at which instants the days, weeks, months … of a time zone begin (ADR 62).

A day begins at the first instant at which the zone's clocks show its date. So where they skip midnight it begins where
they go on, a date that they skip as a whole is no day, and where they are set back over midnight, what they show again
belongs to the day that has begun. An hour begins where they show a full hour, and where they are moved by a part of
one. Offsets have been whole minutes everywhere since 1972, so every boundary is an epoch minute.

Worked example: in Berlin, 2026-03-29 is 2026-03-28T23:00Z to 2026-03-29T22:00Z, and has 23 hours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

from tallymark.buckets import TimeRange
from tallymark.client.wire import GrainName
from tallymark.instants import HOUR, Minute, instant, minute_of

__all__ = ["buckets", "day_begins", "time_zone"]

_FIRST: Final = {
    GrainName.DAY: lambda day: day,
    GrainName.WEEK: lambda day: day - timedelta(days=day.weekday()),
    GrainName.MONTH: lambda day: day.replace(day=1),
    GrainName.QUARTER: lambda day: day.replace(month=day.month - (day.month - 1) % 3, day=1),
    GrainName.YEAR: lambda day: day.replace(month=1, day=1),
}
"""Of a date, the first one of its day, week (which begins on Monday, as in ISO 8601), month, quarter and year."""
_LONGEST: Final = {
    GrainName.DAY: 1,
    GrainName.WEEK: 7,
    GrainName.MONTH: 31,
    GrainName.QUARTER: 92,
    GrainName.YEAR: 366,
}
"""Days from the first date of one to a date of the next."""


@cache  # there are 600
def time_zone(name: str) -> ZoneInfo:
    """The zone of that IANA name, by the rules of the package tzdata. Raises ValueError for any other name."""
    if name not in _names():
        near = get_close_matches(name[:40], _names(), n=1) or ["Europe/Berlin"]
        raise ValueError(f"no time zone of the IANA list has this name; write for example {near[0]}")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


@lru_cache(maxsize=65_536)
def day_begins(day: date, zone: ZoneInfo) -> Minute:
    """The first minute at which the clocks of `zone` show `day` or, where they skip it, a later date."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)  # the earlier one, where there are two
    begins, skipped = minute_of(midnight), minute_of(midnight.replace(fold=1))
    if skipped >= begins:
        return begins
    # there is no midnight: read by the offset from before they skip it and from after, it lies on either side of that
    return Minute(skipped + bisect_left(range(skipped, begins), day, key=lambda minute: _local(minute, zone).date()))


def buckets(name: GrainName, within: TimeRange, zone: ZoneInfo) -> Iterator[TimeRange]:
    """The minutes, hours, days … of `zone` that hold a minute of `within`: in order, each from the end of the last."""
    if name is GrainName.MINUTE:
        return (TimeRange(Minute(at), Minute(at + 1)) for at in range(*within))
    return _hours(within, zone) if name is GrainName.HOUR else _of_days(name, within, zone)


def _of_days(name: GrainName, within: TimeRange, zone: ZoneInfo) -> Iterator[TimeRange]:
    first: Callable[[date], date] = _FIRST[name]
    longest = timedelta(days=_LONGEST[name])
    here = first(_local(within.start, zone).date())
    start, after = day_begins(here, zone), first(here + longest)
    while start < within.end:
        end = day_begins(after, zone)
        # one that ends where it begins is skipped; one that ends before `within` is shown again after the next began
        if end > max(start, within.start):
            yield TimeRange(start, end)
        start, after = end, first(after + longest)


def _hours(within: TimeRange, zone: ZoneInfo) -> Iterator[TimeRange]:
    hand = _hand(within.start, zone)
    start = Minute(within.start - (within.start + hand) % HOUR)
    if _hand(start, zone) != hand:
        start = _moved(start, within.start, zone)
    while start < within.end:
        end = Minute(start + HOUR - (start + hand) % HOUR)
        moved = _hand(end, zone)
        if moved != hand:
            end, hand = _moved(start, end, zone), moved
        yield TimeRange(start, end)
        start = end


def _moved(before: Minute, after: Minute, zone: ZoneInfo) -> Minute:
    """The first minute from `before` to `after` at which the minute hand stands as it does at `after`."""
    hand = _hand(after, zone)
    return Minute(before + bisect_left(range(before, after), True, key=lambda minute: _hand(minute, zone) == hand))


def _hand(minute: int, zone: ZoneInfo) -> int:
    """By how many minutes the minute hand of the zone's clocks is before that of UTC's."""
    offset = _local(minute, zone).utcoffset()
    assert offset is not None
    return offset // timedelta(minutes=1) % HOUR


def _local(minute: int, zone: ZoneInfo) -> datetime:
    return instant(Minute(minute)).astimezone(zone)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text().split())
