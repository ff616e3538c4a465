"""The producers that are expected to be heard, and how much is expected of each: learnt from the last eight days.

A producer's name is its id up to the first `/`: `player-eu/4711-9f2c` is one life of `player-eu`. Its hours are those
of the log's clock, in which a producer that is offline is silent, whatever its events say about when they occurred.

Expected of an hour is the lesser of what came in the same hour a day and a week before, as far as the producer was
known then, and otherwise what came in an hour on average. It is silent when at least ten events were expected since it
was last heard, and it has paused for more than an hour and twice as long as around this time before: so neither nights,
nor weekends, nor producers that send every other hour are silence, once they are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec
import polars as pl

from tallymark.instants import HOUR_MS

__all__ = ["DAYS", "Heard", "Roster", "Silent", "name_of"]

DAYS: Final = 8
_HOURS_NEEDED: Final = 3
_EVENTS_NEEDED: Final = 10
_PAUSES: Final = 2.0
_MOST: Final = 1000
_DAY: Final = 24  # hours
_BEFORE: Final = (_DAY, 7 * _DAY)


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """What came of a producer in one hour: events, and when the log took the first and the last, epoch ms."""

    events: int
    first: int
    last: int

    def __add__(self, other: Heard) -> Heard:
        return Heard(self.events + other.events, min(self.first, other.first), max(self.last, other.last))


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """`expected` events since `heard_ms` (the log's clock), and none came. The newest of it `occurred_ms`."""

    producer: str
    heard_ms: int
    occurred_ms: int
    expected: float


class Member(msgspec.Struct, array_like=True):
    """One producer: by hour since the epoch what was heard, and the newest occurred_at."""

    occurred_ms: int = 0
    hours: dict[int, Heard] = {}


class Roster(msgspec.Struct):
    """Producers by name. Each row of raw is added once."""

    members: dict[str, Member] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Rows with columns producer_id (not null), occurred_at and appended_at."""
        grouped = rows.group_by(name_of("producer_id"), hour=pl.col("appended_at") // HOUR_MS).agg(
            pl.len(),
            first=pl.col("appended_at").min(),
            last=pl.col("appended_at").max(),
            occurred=pl.col("occurred_at").max(),
        )
        for name, hour, *heard, occurred in grouped.iter_rows():
            member = self.members.setdefault(name, Member())
            found = Heard(*heard)
            member.hours[hour] = member.hours[hour] + found if hour in member.hours else found
            member.occurred_ms = max(member.occurred_ms, occurred)

    def forget(self, until_ms: int) -> None:
        """What is older than the days that it learns from, and whoever was not heard in them."""
        since = until_ms // HOUR_MS - DAYS * _DAY
        for name, member in list(self.members.items()):
            member.hours = {hour: heard for hour, heard in member.hours.items() if hour >= since}
            if not member.hours:
                del self.members[name]
        if len(self.members) > _MOST:
            regular = sorted(self.members.items(), key=lambda one: (-len(one[1].hours), one[0]))
            self.members = dict(regular[:_MOST])

    def expected(self) -> list[str]:
        """The names of those that were heard often enough for something to be expected of them."""
        return sorted(name for name, member in self.members.items() if len(member.hours) >= _HOURS_NEEDED)

    def silent(self, until_ms: int) -> list[Silent]:
        """Those of whom nothing came, up to `until_ms`, although it should have."""
        found = (_judged(name, self.members[name], until_ms) for name in self.expected())
        return [one for one in found if one is not None]


def name_of(column: str) -> pl.Expr:
    """The producer's name in its id; all of the id when it begins with a slash."""
    name = pl.col(column).str.split("/").list.first()
    return pl.when(name == "").then(pl.col(column)).otherwise(name).alias(column)


def _judged(name: str, member: Member, until_ms: int) -> Silent | None:
    hours = [member.hours[hour] for hour in sorted(member.hours)]
    last = max(heard.last for heard in hours)
    pause, age = until_ms - last, last - hours[0].first
    if pause <= HOUR_MS or pause > max(_DAY * HOUR_MS, age):  # the latter has ended, as things do
        return None
    expected = sum(_rate(member, hour) * part for hour, part in _hours_between(last, until_ms))
    usual = max(_pauses_before(hours, last, until_ms), default=0)
    if expected < _EVENTS_NEEDED or pause <= _PAUSES * usual:
        return None
    return Silent(producer=name, heard_ms=last, occurred_ms=member.occurred_ms, expected=round(expected, 1))


def _rate(member: Member, hour: int) -> float:
    """Events that are expected in an hour."""
    first, last = min(member.hours), max(member.hours)
    known = [hour - before for before in _BEFORE if first <= hour - before <= last]
    if known:
        return min(member.hours[then].events if then in member.hours else 0 for then in known)
    return sum(heard.events for heard in member.hours.values()) / (last - first + 1)


def _hours_between(start_ms: int, end_ms: int) -> Iterator[tuple[int, float]]:
    """The hours between two instants, and which part of each lies between them."""
    for hour in range(start_ms // HOUR_MS, -(-end_ms // HOUR_MS)):
        inside = min(end_ms, (hour + 1) * HOUR_MS) - max(start_ms, hour * HOUR_MS)
        yield hour, inside / HOUR_MS


def _pauses_before(hours: list[Heard], start_ms: int, end_ms: int) -> Iterator[int]:
    """How long it paused around this time a day and a week before; at any time, when it was not known then."""
    shifts = [before * HOUR_MS for before in _BEFORE if start_ms - before * HOUR_MS >= hours[0].first]
    for before, after in pairwise(hours):
        began, ended = before.last, after.first
        if not shifts or any(began < end_ms - shift and ended > start_ms - shift for shift in shifts):
            yield ended - began
