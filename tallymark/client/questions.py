"""What can be asked: a function of the events of one video and type, over a range of whole minutes.

The rules for ids, times and ranges live here, each with words that say what to send instead.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from tallymark.buckets import TimeRange
from tallymark.errors import InvalidQuestion
from tallymark.event import A_TIME, EARLIEST_MS, LATEST_MS, MAX_ID, parse_rfc3339, trouble_with_id, trouble_with_type
from tallymark.instants import Millis, instant_of

__all__ = [
    "EARLIEST",
    "LATEST",
    "Function",
    "Question",
    "checked_id",
    "checked_type",
    "moment",
    "range_asked",
]

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

_DIGITS: Final = re.compile(r"-?\d{1,15}")
_EATEN_PLUS: Final = re.compile(r".*\d \d\d:\d\d")


class Function(StrEnum):
    """What to make of the events in the range; all but `count` and `users` are over their values."""

    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"
    USERS = "users"


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


def moment(given: object) -> datetime:
    """An instant from epoch milliseconds (a number, or its digits) or RFC 3339 text with a zone. Raises ValueError."""
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
    start: datetime | None, end: datetime | None, *, last: timedelta | None, now: datetime, where: str = ""
) -> TimeRange:
    """The whole minutes that cover what was asked: [start, end), or the `last` time before end; end defaults to now.

    Asked at 12:00:30 for the last 90 s: 11:59 to 12:01. Raises InvalidQuestion; `where` goes before its field.
    """
    if (start is None) == (last is None):
        raise InvalidQuestion("send one of start (with or without end) and last, for example last=24h", f"{where}start")
    until = end or min(now, LATEST)
    since = start or until - min(last or timedelta(0), until - datetime.min.replace(tzinfo=UTC))
    if since < EARLIEST:
        raise InvalidQuestion("reaches back before 2000-01-01T00:00:00Z, where counting begins", f"{where}last")
    if since == until:
        raise InvalidQuestion("the range is empty; end is the first instant that no longer counts", f"{where}end")
    if since > until:
        shown = f"start {since:%Y-%m-%dT%H:%M:%SZ} is after end {until:%Y-%m-%dT%H:%M:%SZ}"
        raise InvalidQuestion(f"{shown}{'' if end else ' (now)'}; swap them or ask for an earlier start", f"{where}end")
    return TimeRange.covering(since, until)


def _from_ms(given: int) -> datetime:
    """What lies beyond the calendar becomes its end, which is out of bounds too."""
    bounded = min(max(given, EARLIEST_MS - 1), LATEST_MS + 1)
    return instant_of(Millis(bounded))


def _from_rfc3339(text: str) -> datetime:
    at = parse_rfc3339(text)
    if at is None:
        hint = "; in a URL write the + of the zone as %2B" if _EATEN_PLUS.fullmatch(text) else ""
        raise ValueError(f"expected {A_TIME}{hint}")
    return at
