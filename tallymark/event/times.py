"""Times as text: RFC 3339, with the seconds that are inserted now and then."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import msgspec

from tallymark.instants import DAY_MS, millis_of

__all__ = ["A_TIME", "parse_rfc3339"]

A_TIME: Final = "epoch milliseconds or RFC 3339 with a zone, 2026-01-31T12:00:00Z"
_LEAP: Final = re.compile(r"(.{10}[Tt ][0-9]{2}:[0-9]{2}):60(?:\.[0-9]+)?([Zz]|[+-].{5})", re.ASCII)


def parse_rfc3339(text: str) -> datetime | None:
    """None of what is not RFC 3339 or names no zone.

    A leap second is no instant of its own here: 23:59:60Z is 23:59:59.999Z, which is in the same day as it.
    """
    if leap := _LEAP.fullmatch(text):
        return _last_of_its_day(f"{leap[1]}:59.999{leap[2]}")
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return None if at.tzinfo is None else at


def _last_of_its_day(text: str) -> datetime | None:
    """Leap seconds end days of UTC, whatever the zone in which they are told: 2016-12-31T18:59:60-05:00."""
    at = parse_rfc3339(text)
    return at if at is not None and (millis_of(at) + 1) % DAY_MS == 0 else None
