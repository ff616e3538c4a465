"""The value of one function, and the bounds that the truth cannot lie outside of, or seldom does.

What was recounted stands: the first copy of an event counts, so events that come later can add to a count, push a
minimum down or a maximum up, and nothing else. Of those that came late and wait for the next recount, all is known but
which of them are copies of counted ones: they move the bounds. Of minutes that are still open, more will come, and the
speed view may have counted one twice that was sent again much later. How far that goes is known of counts, from the
evidence of the audit, with a confidence; without evidence, a side that it could move is None.

Worked example: 100 events with the sum 900 were counted, and 3 came late with values from -5 to 20, their sum 30: the
count is 100 to 103, the sum 885 to 945, the greatest value 20 or what it was.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil, floor
from typing import NamedTuple

from serving.answers.reading import Reading
from tallymark.client.questions import Function
from tallymark.client.wire import Interval, Number
from tallymark.documents.evidence import Evidence, Growth
from tallymark.instants import minute_of
from tallymark.tally import Tally

__all__ = ["Estimate", "Forecast", "estimate", "forecast", "users_of", "value_of"]


class Estimate(NamedTuple):
    """lower ≤ truth ≤ upper; None on a side where nothing can be said. `confidence`: None when it is certain."""

    value: Number
    lower: Number
    upper: Number
    confidence: float | None = None


class Forecast(NamedTuple):
    """By evidence, `expected` is what the count will come to; `growth` says how far off that may be."""

    growth: Growth
    expected: float
    confidence: float


def forecast(type: str, reading: Reading, *, evidence: Evidence | None, now: datetime) -> Forecast | None:
    """What the cells of an answer will come to; None where evidence says nothing of it.

    It speaks of answers as readers usually get them: from both views, of what has happened, with nothing lacking.
    """
    growth = evidence and evidence.of(type, now)
    if not evidence or not growth or reading.cut.all_counted or reading.quality.degraded:
        return None
    minute, cells = minute_of(now), reading.cells
    expected = growth.expected(
        batch=[(minute - key.bucket.end, tally.count) for key, tally in cells.batch.items()],
        speed=[(minute - key.bucket.start - 1, tally.count) for key, tally in (cells.speed or {}).items()],
    )
    return None if expected is None else Forecast(growth, expected, evidence.confidence)


def estimate(function: Function, reading: Reading, forecast: Forecast | None = None) -> Estimate:
    quality, total = reading.quality, reading.total
    if function is Function.USERS:
        users = users_of(reading)
        return Estimate(users.value, users.lower, users.upper)
    if not quality.known:
        return Estimate(None, None, None)
    value = value_of(function, total)
    if quality.exact:
        return Estimate(value, value, value)
    if reading.cut.all_counted and not quality.imports_pending:
        return Estimate(value, *_with_pending(function, total, reading.pending))
    if function is Function.COUNT and forecast:
        lower, upper = forecast.growth.interval(total.count, forecast.expected)
        lower = max(lower, reading.counted.count)
        return Estimate(value, lower, upper + reading.pending.count, forecast.confidence)
    return Estimate(value, *_without_end(function, reading.counted))


def users_of(reading: Reading) -> Interval:
    """The interval of the sketch, in whole users; those of events that wait may be among the counted ones or not."""
    if not reading.quality.known:
        return Interval(None, None, None)
    uniques = reading.total.uniques()
    most = (reading.total + reading.pending).uniques() if reading.pending.count else uniques
    bounded = reading.quality.complete and not reading.quality.imports_pending
    upper = ceil(most.upper) if bounded else None
    return Interval(round(uniques.value), floor(uniques.lower), upper)


def value_of(function: Function, tally: Tally) -> Number:
    if function is Function.COUNT:
        return tally.count
    if function is Function.SUM:
        return tally.sum
    if function is Function.MIN:
        return tally.min
    if function is Function.MAX:
        return tally.max
    if function is Function.MEAN:
        return tally.mean
    return round(tally.uniques().value)


def _with_pending(function: Function, counted: Tally, pending: Tally) -> tuple[Number, Number]:
    """The bounds when any of the pending events may be new, or be copies."""
    low, high, many = pending.min or 0, pending.max or 0, pending.count
    if function is Function.COUNT:
        return counted.count, counted.count + many
    if function is Function.SUM:
        less, more = many * min(0, low), many * max(0, high)
        if low >= 0 or high <= 0:
            less, more = max(less, min(0, pending.sum)), min(more, max(0, pending.sum))
        else:  # the others' sum is at most as far on the other side
            less, more = max(less, pending.sum - more), min(more, pending.sum - less)
        return counted.sum + less, counted.sum + more
    if function is Function.MIN:
        return _least(counted.min, pending.min), counted.min
    if function is Function.MAX:
        return counted.max, _greatest(counted.max, pending.max)
    return None, None


def _without_end(function: Function, counted: Tally) -> tuple[Number, Number]:
    """The bounds when more will come, and the speed view may have counted something twice."""
    if function is Function.COUNT:
        return counted.count, None
    if function is Function.MIN:
        return None, counted.min
    if function is Function.MAX:
        return counted.max, None
    return None, None


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _greatest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)
