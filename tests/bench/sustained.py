"""How fast something reads a topic once it is warm: by the positions that it has finished."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.bench.phases import say

__all__ = ["sustained"]

_LOOK_EVERY = 0.1
_SAY_EVERY = 15.0


class _Point(NamedTuple):
    at: float
    done: int


def sustained(
    finished: Callable[[], int],
    *,
    warm: int,
    total: int,
    seconds: float,
    within: float = 600,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Events a second from the first look that finds `warm` records finished, to the last one that finds no more than
    nineteen twentieths of `total`, or `seconds` later: at the very end, a partition may have none left while others
    do. Also in thirds of that time: what is sustained does not fall.

    `finished` steps from micro-batch to micro-batch, or from commit to commit; the times of the steps are what counts.
    """
    began = clock()
    told = began
    steps: list[_Point] = []
    while True:
        done, now = finished(), clock()
        if done >= warm and (not steps or done > steps[-1].done):
            steps.append(_Point(now, done))
        if now - told > _SAY_EVERY:
            told = now
            say(f"… {done:,} of {total:,}")
        if done >= total or (steps and now - steps[0].at > seconds):
            break
        if now - began > within:
            raise TimeoutError(f"{done:,} of {total:,} records within {within:g} s")
        pause(_LOOK_EVERY)
    while len(steps) > 2 and steps[-1].done > total * 19 // 20:
        steps.pop()
    if len(steps) < 2:
        raise RuntimeError(f"{total:,} records are too few to see how fast they are read: only {len(steps)} steps")
    rate = _rate(steps)
    say(f"{rate:,.0f} events a second")
    return {
        "events_per_s": round(rate),
        "in_thirds": [round(_rate(part)) for part in _thirds(steps)],
        "measured_s": round(steps[-1].at - steps[0].at, 1),
    }


def _rate(steps: Sequence[_Point]) -> float:
    return (steps[-1].done - steps[0].done) / (steps[-1].at - steps[0].at)


def _thirds(steps: Sequence[_Point]) -> list[Sequence[_Point]]:
    """They share the step at which one ends and the next begins; fewer when there are not enough steps."""
    parts = min(3, len(steps) - 1)
    cuts = [(len(steps) - 1) * n // parts for n in range(parts + 1)]
    return [steps[first : last + 1] for first, last in itertools.pairwise(cuts)]
