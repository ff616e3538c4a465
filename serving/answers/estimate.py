"""The value of one function, and the bounds that the truth cannot lie outside of, or seldom does.

What was recounted stands: the first copy of an event counts, so events that come later can add to a count, push a
minimum down or a maximum up, and nothing else. The speed view misses events that came too late for it, and may count
one twice that was sent again. How far that goes is known of counts, from the evidence of the audit, with a confidence;
without evidence, a side that it could move is None.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil, floor
from typing import NamedTuple

from serving.answers.quality import Quality
from serving.answers.snapshot import Cells
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


def forecast(type: str, cells: Cells, *, evidence: Evidence | None, quality: Quality, now: datetime) -> Forecast | None:
    """What the cells of an answer will come to; None where evidence says nothing of it.

    It speaks of answers as readers usually get them: from both views, of what has happened, with nothing lacking.
    """
    growth = evidence and evidence.of(type, now)
    if not evidence or not growth or quality.cut.all_counted or quality.degraded:
        return None
    minute = minute_of(now)
    expected = growth.expected(
        batch=[(minute - key.bucket.end, tally.count) for key, tally in cells.batch.items()],
        speed=[(minute - key.bucket.start - 1, tally.count) for key, tally in (cells.speed or {}).items()],
    )
    return None if expected is None else Forecast(growth, expected, evidence.confidence)


def estimate(
    function: Function, *, counted: Tally, total: Tally, quality: Quality, forecast: Forecast | None = None
) -> Estimate:
    """`counted`: the tally of what was recounted; `total`: that and the speed view's part."""
    if function is Function.USERS:
        users = users_of(total, quality)
        return Estimate(users.value, users.lower, users.upper)
    if not quality.known:
        return Estimate(None, None, None)
    value = value_of(function, total)
    if quality.exact:
        return Estimate(value, value, value)
    if function is Function.COUNT and forecast:
        lower, upper = forecast.growth.interval(total.count, forecast.expected)
        return Estimate(value, max(lower, counted.count), upper, forecast.confidence)
    return Estimate(value, *_bounds(function, counted, quality))


def users_of(total: Tally, quality: Quality) -> Interval:
    """The interval of the sketch, in whole users; each event that waits may bring one more."""
    if not quality.known:
        return Interval(None, None, None)
    uniques = total.uniques()
    upper = ceil(uniques.upper) + quality.late_pending if quality.complete else None
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


def _bounds(function: Function, counted: Tally, quality: Quality) -> tuple[Number, Number]:
    if function is Function.COUNT:
        return counted.count, counted.count + quality.late_pending if quality.cut.all_counted else None
    if function is Function.MIN:
        return None, counted.min
    if function is Function.MAX:
        return counted.max, None
    return None, None
