"""Local time by `zoneinfo` alone, minute by minute: what the buckets of a zone must be."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from tallymark.buckets import TimeRange
from tallymark.client.wire import GrainName

_FARTHEST_BACK = 480  # minutes by which any clock was set back since 1990: seven hours, in Vostok in 1994


def wrong(parts: Sequence[TimeRange], name: GrainName, within: TimeRange, zone: ZoneInfo) -> str | None:
    """What is wrong with `parts` as the buckets that hold a minute of `within`; None when nothing is."""
    if any(one.end != other.start for one, other in pairwise(parts)):
        return "they do not follow each other"
    first, last = parts[0], parts[-1]
    if not (first.start <= within.start < first.end and last.start < within.end <= last.end):
        return f"the first, {first}, and the last, {last}, do not hold the ends of {within}"
    for part in parts:
        if name in {GrainName.MINUTE, GrainName.HOUR}:
            begins = [at for at in range(part.start, part.end + 1) if name is GrainName.MINUTE or _is_hour(at, zone)]
            if begins != [part.start, part.end]:
                return f"{part} is not from one {name} to the next: {begins}"
        elif not (
            _label(part.start - 1, name, zone)
            < _label(part.start, name, zone)
            == _label(part.end - 1, name, zone)
            < _label(part.end, name, zone)
        ):
            return f"{part} is not one {name}: {[_label(at, name, zone) for at in part]}"
    return None


@cache
def moves(zone: ZoneInfo, since: int, until: int) -> list[int]:
    """The minutes at which the clocks are moved, but for those that are moved back within five days."""
    days = range(since, until, 5 * 1440)
    offsets = [_local(minute, zone).utcoffset() for minute in days]
    return [
        before + bisect_left(range(before, after), True, key=lambda minute: _local(minute, zone).utcoffset() == new)
        for (before, after), (old, new) in zip(pairwise(days), pairwise(offsets), strict=True)
        if old != new
    ]


def _label(minute: int, name: GrainName, zone: ZoneInfo) -> tuple[int, ...]:
    """The day, week, month … that has begun at `minute`: the latest one that the clocks have shown."""
    local = _local(minute, zone)
    before = _local(minute - _FARTHEST_BACK, zone)
    if local.utcoffset() != before.utcoffset():
        local = max(_local(minute - back, zone).replace(tzinfo=None) for back in range(_FARTHEST_BACK))
    return {
        GrainName.DAY: (local.year, local.month, local.day),
        GrainName.WEEK: local.isocalendar()[:2],
        GrainName.MONTH: (local.year, local.month),
        GrainName.QUARTER: (local.year, (local.month + 2) // 3),
        GrainName.YEAR: (local.year,),
    }[name]


def _is_hour(minute: int, zone: ZoneInfo) -> bool:
    """Whether the clocks show a full hour, or are moved by a part of one."""
    local, hour = _local(minute, zone), timedelta(hours=1)
    moved = (local.utcoffset() or hour) - (_local(minute - 1, zone).utcoffset() or hour)
    return local.minute == 0 or bool(moved % hour)


def _local(minute: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(minute * 60, zone)
