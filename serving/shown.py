"""An answer in words: the value, which part of it is exact, how fresh the rest is, what is lacking."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from serving.answers.calendar import time_zone
from tallymark.client.questions import Function
from tallymark.client.wire import Answer, Code, Envelope, GrainName, Number, Series, Stats

__all__ = ["answer_lines", "series_lines", "stats_lines"]

_NOT_KNOWN = "not known"


def answer_lines(answer: Answer) -> Iterator[str]:
    yield f"{_number(answer.value)}   {answer.function} of {answer.type} events of {answer.video_id}"
    yield from _standing(answer)
    if not answer.exact:
        yield f"  bounds  {_bounds(answer.lower, answer.upper)}{_confidence(answer.confidence)}"
    yield from _lacks(answer)


def stats_lines(stats: Stats) -> Iterator[str]:
    yield f"{stats.type} events of {stats.video_id}"
    bounds = "" if stats.exact else f"   {_bounds(stats.lower, stats.upper)}{_confidence(stats.confidence)}"
    yield f"  count   {_number(stats.count)}{bounds}"
    for name, value in (("sum", stats.sum), ("min", stats.min), ("max", stats.max), ("mean", stats.mean)):
        yield f"  {name:<6}  {_number(value)}"
    users = stats.users
    yield f"  users   about {_number(users.value)}   {_bounds(users.lower, users.upper)}"
    yield from _standing(stats)
    yield from _lacks(stats)


def series_lines(series: Series) -> Iterator[str]:
    yield f"{series.function} of {series.type} events of {series.video_id}, by {series.grain} in {series.tz}"
    zone = time_zone(series.tz)
    written = "%Y-%m-%d %H:%M %z" if series.grain in {GrainName.MINUTE, GrainName.HOUR} else "%Y-%m-%d"
    values = [_number(point.value) for point in series.points]
    width = max(map(len, values))
    for point, value in zip(series.points, values, strict=True):
        yield f"  {point.start.astimezone(zone):{written}}  {value:>{width}}{'' if point.exact else '   not exact'}"
    yield from _standing(series)
    yield from _lacks(series)


def _standing(answer: Envelope) -> Iterator[str]:
    yield f"  range   {_time(answer.start)} to {_time(answer.end)} UTC"
    until = _time(min(answer.exact_until, answer.end))
    if not answer.version:
        yield "  exact   nothing yet, nothing was recounted"
    elif answer.start >= answer.exact_until:
        yield f"  exact   nothing of it yet: recounted until {_time(answer.exact_until)}, version {answer.version}"
    elif isinstance(answer, Answer | Series) and answer.function is Function.USERS:
        yield f"  exact   never, users are an estimate: recounted until {until}, version {answer.version}"
    elif lacking := list(_not_counted(answer)):
        yield f"  exact   until {until}, version {answer.version}, but for {' and '.join(lacking)}"
    else:
        yield f"  exact   {'all of it' if answer.exact else f'until {until}'}, version {answer.version}"
    if answer.freshness_ms is not None and answer.end > answer.exact_until:
        behind = f"{answer.freshness_ms / 1000:,.1f} s behind"
        yield f"  fresh   from {_time(max(answer.exact_until, answer.start))} on, {behind}, epoch {answer.epoch}"


def _not_counted(answer: Envelope) -> Iterator[str]:
    """What keeps even the part that was recounted from being exact."""
    if answer.late_pending:
        yield f"{answer.late_pending:,} late event{'' if answer.late_pending == 1 else 's'}"
    if any(lack.code is Code.IMPORT_PENDING for lack in answer.degraded):
        yield "imported events"


def _lacks(answer: Envelope) -> Iterator[str]:
    if answer.coverage.missing:
        yield f"  lacks   events of this time, of any video, that never arrived: at most {answer.coverage.missing:,}"
    if answer.coverage.silent:
        yield f"  lacks   what producers would have sent that are silent: {answer.coverage.silent:,} of them"
    for lack in answer.degraded:
        yield f"  lacks   {lack.detail} ({lack.code})"


def _bounds(lower: Number, upper: Number) -> str:
    if lower is None and upper is None:
        return "no bounds are known"
    if upper is None:
        return f"at least {_number(lower)}, no upper bound is known"
    if lower is None:
        return f"at most {_number(upper)}, no lower bound is known"
    return f"at least {_number(lower)}, at most {_number(upper)}"


def _confidence(confidence: float | None) -> str:
    return "" if confidence is None else f", in {confidence * 100:g} of 100 cases"


def _number(value: Number) -> str:
    if value is None:
        return _NOT_KNOWN
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
