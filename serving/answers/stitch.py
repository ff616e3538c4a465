"""The answer to a question: what was recounted before exact_until, what the speed view saw from there on, added up.

    at      = snapshots.take()                     # the publication, once: two versions never mix
    reading = Reading.of(question, [range], at=at) # the cut at the boundary, the cells of both views, how true it is
    value   = Tally.total(batch cells + speed cells)

The boundary is invisible: with both views complete, the answer is the same wherever exact_until lies.
"""

from __future__ import annotations

from datetime import datetime
from math import floor
from typing import Any

from serving.answers.estimate import estimate, forecast, users_of
from serving.answers.quality import Quality
from serving.answers.reading import Reading
from serving.answers.snapshot import Snapshot
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer, Coverage, Stats
from tallymark.documents.progress import Staleness
from tallymark.instants import instant
from tallymark.store import ViewStore

__all__ = ["answer", "envelope", "stats"]


def answer(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, staleness: Staleness) -> Answer:
    users = question.function is Function.USERS
    reading = Reading.of(question, [question.range], at=at, store=store, now=now, staleness=staleness, users=users)
    to_come = forecast(question.type, reading, evidence=at.evidence, now=now)
    known = estimate(question.function, reading, to_come)
    exact = reading.quality.exact and not users
    return Answer(
        **envelope(question, question.range, at=at, quality=reading.quality, exact=exact),
        function=question.function,
        value=known.value,
        lower=known.lower,
        upper=known.upper,
        confidence=known.confidence,
    )


def stats(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, staleness: Staleness) -> Stats:
    """All functions at once, whatever the question's is."""
    reading = Reading.of(question, [question.range], at=at, store=store, now=now, staleness=staleness, users=True)
    to_come = forecast(question.type, reading, evidence=at.evidence, now=now)
    count = estimate(Function.COUNT, reading, to_come)
    known: dict[str, Any] = dict.fromkeys(("count", "sum", "min", "max", "mean"))
    if reading.quality.known:
        known = {name: getattr(reading.total, name) for name in known}
    return Stats(
        **envelope(question, question.range, at=at, quality=reading.quality, exact=reading.quality.exact),
        **known,
        users=users_of(reading),
        lower=count.lower,
        upper=count.upper,
        confidence=count.confidence,
    )


def envelope(question: Question, covered: TimeRange, *, at: Snapshot, quality: Quality, exact: bool) -> dict[str, Any]:
    """The fields of `wire.Envelope`."""
    return {
        "video_id": question.video_id,
        "type": question.type,
        "start": instant(covered.start),
        "end": instant(covered.end),
        "exact": exact,
        "exact_until": at.publication.exact_until,
        "version": at.publication.version,
        "epoch": at.publication.epoch,
        "freshness_ms": quality.freshness_ms,
        "late_pending": quality.late_pending,
        "degraded": quality.degraded,
        "coverage": _coverage(covered, at),
    }


def _coverage(covered: TimeRange, at: Snapshot) -> Coverage:
    if at.coverage is None:
        return Coverage()
    missing, silent, numbered = at.coverage.within(covered)
    # downward: 1.0 is all of it
    share = None if numbered is None else floor(numbered * 10_000) / 10_000
    return Coverage(missing, silent, share, at.coverage.checked_until)
