"""Instants as numbers, and the one clock.

Epoch milliseconds are what producers and the log say, epoch minutes what is counted by: both UTC, told apart by their
types. Between them and datetimes there is one conversion each way, here.

Worked number: 2026-01-01T00:00Z is epoch minute 29 453 760 (20 454 days × 1 440) and millisecond 1 767 225 600 000.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

__all__ = [
    "DAY",
    "DAY_MS",
    "EPOCH",
    "HOUR",
    "HOUR_MS",
    "MINUTE_MS",
    "Millis",
    "Minute",
    "first_millis",
    "instant",
    "instant_of",
    "length_ms",
    "millis_of",
    "minute_at",
    "minute_of",
    "now_ms",
    "utc_now",
]

Millis = NewType("Millis", int)
Minute = NewType("Minute", int)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR: Final = 60  # lengths, in minutes
DAY: Final = 1440
MINUTE_MS: Final = 60_000  # and in milliseconds
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
_MS: Final = timedelta(milliseconds=1)
_MINUTE: Final = timedelta(minutes=1)


def utc_now() -> datetime:
    """What this machine's clock says. Whatever goes by a clock takes one as an argument; this is what it is given."""
    return datetime.now(UTC)


def now_ms() -> Millis:
    return Millis(time.time_ns() // 1_000_000)


def millis_of(at: datetime) -> Millis:
    """The epoch millisecond that holds `at`, by integer arithmetic. Raises ValueError for a naive datetime."""
    return Millis((_aware(at) - EPOCH) // _MS)


def first_millis(since: datetime) -> Millis:
    """The first epoch millisecond that is not before `since`."""
    return Millis(-((EPOCH - _aware(since)) // _MS))


def instant_of(ms: Millis) -> datetime:
    """The first instant of an epoch millisecond, aware, UTC."""
    return EPOCH + ms * _MS


def minute_of(at: datetime) -> Minute:
    """The epoch minute that holds `at`. Raises ValueError for a naive datetime."""
    return Minute((_aware(at) - EPOCH) // _MINUTE)


def instant(minute: Minute) -> datetime:
    """The first instant of an epoch minute, aware, UTC."""
    return EPOCH + minute * _MINUTE


def minute_at(ms: Millis) -> Minute:
    """The epoch minute that holds an epoch millisecond."""
    return Minute(ms // MINUTE_MS)


def length_ms(duration: timedelta) -> int:
    """A length of time in whole milliseconds, rounded down."""
    return duration // _MS


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone; Tallymark counts in UTC")
    return at
