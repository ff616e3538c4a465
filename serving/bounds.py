"""The value of one function, and the bounds that the truth cannot lie outside of.

What was recounted stands: the first copy of an event counts, so events that come later can add to a count, push a
minimum down or a maximum up, and nothing else. Of the speed view's part no bound is known (it misses events that came
too late for it, and may count one twice that was sent again much later), so a side that it could move is None.
"""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple

from serving.models import Interval, Number
from serving.questions import Function
from serving.standing import Standing
from tallymark.tally import Tally

__all__ = ["Reading", "reading", "users_of", "value_of"]


class Reading(NamedTuple):
    """lower ≤ truth ≤ upper; None on a side where nothing can be said."""

    value: Number
    lower: Number
    upper: Number


def reading(function: Function, *, counted: Tally, total: Tally, standing: Standing) -> Reading:
    """`counted`: the tally of what was recounted; `total`: that and the speed view's part."""
    if function is Function.USERS:
        users = users_of(total, standing)
        return Reading(users.value, users.lower, users.upper)
    if not standing.known:
        return Reading(None, None, None)
    value = value_of(function, total)
    if standing.exact:
        return Reading(value, value, value)
    return Reading(value, *_bounds(function, counted, standing))


def users_of(total: Tally, standing: Standing) -> Interval:
    """The interval of the sketch, in whole users; each event that waits may bring one more."""
    if not standing.known:
        return Interval(None, None, None)
    estimate = total.uniques()
    upper = ceil(estimate.upper) + standing.late_pending if standing.complete else None
    return Interval(round(estimate.value), floor(estimate.lower), upper)


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


def _bounds(function: Function, counted: Tally, standing: Standing) -> tuple[Number, Number]:
    if function is Function.COUNT:
        all_recounted = standing.fresh.start >= standing.fresh.end
        return counted.count, counted.count + standing.late_pending if all_recounted else None
    if function is Function.MIN:
        return None, counted.min
    if function is Function.MAX:
        return counted.max, None
    return None, None
