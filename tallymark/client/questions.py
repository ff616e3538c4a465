"""What can be asked: a function of the events of one video and type, over a range of whole minutes.

The rules for ids, times and ranges live here, each with words that say what to send instead. A time may be a bare date,
which is the start of that day in the time zone of the question.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final, NamedTuple

from tallymark.buckets import TimeRange
from tallymark.errors import InvalidQuestion
from tallymark.event import A_TIME, EARLIEST_MS, LATEST_MS, MAX_ID, parse_rfc3339, trouble_with_id, trouble_with_type
from tallymark.instants import Millis, instant_of
from tallymark.notation import parse_duration

__all__ = [
    "EARLIEST",
    "LATEST",
    "Function",
    "Length",
    "Question",
    "checked_id",
    "checked_type",
    "moment",
    "range_asked",
]

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

_DIGITS: Final = re.compile(r"-?\d{1,15}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTHS: Final = re.compile(r"([1-9][0-9]{0,3}) ?(mo|y)")
_EATEN_PLUS: Final = re.compile(r".*\d \d\d:\d\d")


class Function(StrEnum):
    """What to make of the events in the range; all but `count` and `users` are over their values."""

    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    USERS = "users"


@dataclass(frozen=True)
class Length:
    """How far a range reaches back: so much time, or so many months of the calendar."""

    time: timedelta = timedelta(0)
    months: int = 0

    @classmethod
    def parse(cls, text: str) -> Length:
        """`90s`, `24h`, `7d`, `1w` are time, a day of it 24 hours; `3mo`, `1y` are months. Raises ValueError."""
        if match := _MONTHS.fullmatch(text):
            return cls(months=int(match[1]) * (12 if match[2] == "y" else 1))
        try:
            time = parse_duration(text)
        except ValueError:
            time = timedelta(0)
        if not time or text != text.strip():
            raise ValueError("expected a length of time such as 90s, 15m, 24h, 7d, 1w, 3mo or 1y")
        return cls(time)

    def before(self, end: datetime, zone: tzinfo) -> datetime:
        """So long before `end`, by the clocks of `zone` where it is months: 1mo before 31 March, 12:00, is the last day
        of February, 12:00. No earlier than the calendar goes."""
        first = datetime.min.replace(tzinfo=UTC)
        if not self.months:
            return end - min(self.time, end - first)
        local = end.astimezone(zone)
        year, month = divmod(local.year * 12 + local.month - 1 - self.months, 12)
        if year < EARLIEST.year - 1:
            return first
        day = min(local.day, monthrange(year, month + 1)[1])
        return local.replace(year=year, month=month + 1, day=day).astimezone(UTC)


class Question(NamedTuple):
    """`function` of the events of `video_id` and `type` in `range`."""

    video_id: str
    type: str
    function: Function
    range: TimeRange


def checked_id(text: str) -> str:
    """A video id that an event may carry. Raises ValueError."""
    if trouble := trouble_with_id(text):
        raise ValueError(f"{trouble}; check that the id is URL-encoded once" if 0 < len(text) <= MAX_ID else trouble)
    return text


def checked_type(text: str) -> str:
    """A type that an event may have. Raises ValueError."""
    if trouble := trouble_with_type(text):
        raise ValueError(trouble)
    return text


def moment(given: object) -> datetime | date:
    """An instant from epoch milliseconds (a number, or its digits) or RFC 3339 text with a zone; or a date, 2026-01-31.

    Raises ValueError.
    """
    if isinstance(given, str) and _DATE.fullmatch(given):
        return _from_date(given)
    if isinstance(given, str):
        at = _from_ms(int(given)) if _DIGITS.fullmatch(given) else _from_rfc3339(given)
    elif isinstance(given, int) and not isinstance(given, bool) and abs(given) < 10**15:
        at = _from_ms(given)
    else:
        raise ValueError(f"expected epoch milliseconds or RFC 3339, got {given!r:.40}")
    if not EARLIEST <= at <= LATEST:
        raise ValueError("not between 2000-01-01T00:00:00Z and 2100-01-01T00:00:00Z; a number is epoch milliseconds")
    return at.astimezone(UTC)


def range_asked(
    start: datetime | None,
    end: datetime | None,
    *,
    last: Length | None = None,
    now: datetime,
    zone: tzinfo = UTC,
    where: str = "",
) -> TimeRange:
    """The whole minutes that cover what was asked: [start, end), or the `last` time before end.

    Without either, it starts where counting does. It ends now if `end` is not given or, though it has begun, to come.
    Asked at 12:00:30 for the last 90 s: 11:59 to 12:01.

    Raises InvalidQuestion; `where` goes before its field.
    """
    if start is not None and last is not None:
        raise InvalidQuestion("send start or last, not both; last=24h is the 24 hours before end", f"{where}start")
    latest = min(now, LATEST)
    until = end or latest
    since = last.before(until, zone) if last else start or EARLIEST
    if since < EARLIEST:
        raise InvalidQuestion("reaches back before 2000-01-01T00:00:00Z, where counting begins", f"{where}last")
    if since == until:
        raise InvalidQuestion("the range is empty; end is the first instant that no longer counts", f"{where}end")
    if since > until:
        shown = f"start {since:%Y-%m-%dT%H:%M:%SZ} is after end {until:%Y-%m-%dT%H:%M:%SZ}"
        raise InvalidQuestion(f"{shown}{'' if end else ' (now)'}; swap them or ask for an earlier start", f"{where}end")
    return TimeRange.covering(since, min(until, latest) if since < latest else until)


def _from_date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"there is no {text} in the calendar") from None
    if not EARLIEST.date() <= day <= LATEST.date():
        raise ValueError("not between 2000-01-01 and 2100-01-01")
    return day


def _from_ms(given: int) -> datetime:
    """What lies beyond the calendar becomes its end, which is out of bounds too."""
    bounded = min(max(given, EARLIEST_MS - 1), LATEST_MS + 1)
    return instant_of(Millis(bounded))


def _from_rfc3339(text: str) -> datetime:
    at = parse_rfc3339(text)
    if at is None:
        hint = "; in a URL write the + of the zone as %2B" if _EATEN_PLUS.fullmatch(text) else ""
        raise ValueError(f"expected {A_TIME}, or a date, 2026-01-31{hint}")
    return at
