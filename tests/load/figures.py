"""From what the generator told to figures. Durations are milliseconds; shares are of one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles
from typing import Any, Final

from tests.bench.report import percentiles
from tests.load.generator import EVENTS_PER_POST, NO_ANSWER, Told
from tests.load.watch import Look, slope_per_minute

__all__ = ["accepted_events", "curve", "disk", "memory", "summary"]

_ACCEPTED: Final = 202
_REFUSED: Final = 429
_CURVE: Final = (50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9)


def summary(told: Told, *, since: float, until: float) -> dict[str, Any]:
    """Of what was due in this time (seconds of the run). `post_ms` is of accepted posts, `refusal_ms` of refused ones;
    `sent_late_ms`: by how much the generator itself was late, which is part of both."""
    posts = [post for post in told.posts if since <= post[0] < until]
    questions = [question for question in told.questions if since <= question[0] < until]
    accepted = [post for post in posts if post[1] == _ACCEPTED]
    return {
        "offered_events_per_s": round(len(posts) * EVENTS_PER_POST / (until - since)),
        "accepted_events_per_s": round(len(accepted) * EVENTS_PER_POST / (until - since)),
        "refused": _share(posts, _REFUSED),
        "unanswered": _share(posts, NO_ANSWER),
        "failed": _others(posts, (_ACCEPTED, _REFUSED, NO_ANSWER)) + _others(questions, (200,)),
        "post_ms": percentiles([post[2] for post in accepted]),
        "refusal_ms": percentiles([post[2] for post in posts if post[1] == _REFUSED]),
        "sent_late_ms": percentiles([post[3] for post in posts]),
        "question_ms": percentiles([question[2] for question in questions]),
        "fresh_after_ms": percentiles([probe[1] for probe in told.probes if since <= probe[0] < until]),
        "freshness_stated_ms": percentiles([float(each[3]) for each in questions if each[3] >= 0]),
    }


def accepted_events(told: Told) -> int:
    """Probes too."""
    return sum(EVENTS_PER_POST for post in told.posts if post[1] == _ACCEPTED) + len(told.probes) + told.unseen


def curve(durations: Sequence[float]) -> dict[str, float]:
    """Percentile to milliseconds."""
    cuts = quantiles(durations, n=1000, method="inclusive")
    return {f"{at:g}": round(cuts[int(at * 10) - 1], 2) for at in _CURVE} | {"100": round(max(durations), 2)}


def memory(name: str, looks: Sequence[Look], *, since: float) -> dict[str, float]:
    """MB of one process at the first of the `looks` that count and at the last, and MB a minute of the straight line
    through all of them."""
    points = [(look.at, look.memory[name]) for look in looks if look.at >= since and name in look.memory]
    if len(points) < 2:
        return {}
    return {
        "first_mb": round(points[0][1], 1),
        "last_mb": round(points[-1][1], 1),
        "slope_mb_per_min": round(slope_per_minute(points), 2),
    }


def disk(part: str, looks: Sequence[Look], *, since: float) -> dict[str, float]:
    """Files and MB of one part of home: the most of the first half of the looks that count, and of the second."""
    warm = [look for look in looks if look.at >= since]
    halves = {"first": warm[: len(warm) // 2], "second": warm[len(warm) // 2 :]}
    return {
        f"{unit}_{half}_half": round(max((of(look).get(part, 0) for look in part_of), default=0), 1)
        for unit, of in (("files", lambda look: look.files), ("mb", lambda look: look.disk))
        for half, part_of in halves.items()
    }


def _share(requests: Sequence[tuple[Any, ...]], status: int) -> float:
    return round(sum(request[1] == status for request in requests) / len(requests), 4) if requests else 0.0


def _others(requests: Sequence[tuple[Any, ...]], statuses: Sequence[int]) -> int:
    return sum(request[1] not in statuses for request in requests)
