"""The answer to a question: what was recounted before exact_until, what the speed view saw from there on, added up.

    at    = snapshots.take()                     # the publication, once: two versions never mix
    cut   = at.cut(question.range)               # the boundary, once: each bucket is one view's
    cells = read(question, cut, at=at)           # both multi-gets
    value = Tally.total(batch cells + speed cells)

The boundary is invisible: with both views complete, the answer is the same wherever exact_until lies.
"""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from math import floor
from typing import Any

from serving.answers.estimate import estimate, forecast, users_of
from serving.answers.quality import Quality, quality_of
from serving.answers.snapshot import Cells, Snapshot, read
from tallymark.buckets import Grain, TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer, Coverage, Stats
from tallymark.documents.progress import Staleness
from tallymark.instants import instant
from tallymark.store import ViewStore
from tallymark.tally import Tally

__all__ = ["answer", "envelope", "stats"]

_ALL_GRAINS = list(Grain)


def answer(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, staleness: Staleness) -> Answer:
    cut = at.cut(question.range)
    quality = quality_of(question, cut, at=at, now=now, staleness=staleness)
    users = question.function is Function.USERS
    cells = read(question, cut, at=at, store=store, grains=_ALL_GRAINS, users=users)
    counted, total = _tallies(cells)
    to_come = forecast(question.type, cells, evidence=at.evidence, quality=quality, now=now)
    known = estimate(question.function, counted=counted, total=total, quality=quality, forecast=to_come)
    return Answer(
        **envelope(question, question.range, at=at, quality=quality, exact=quality.exact and not users),
        function=question.function,
        value=known.value,
        lower=known.lower,
        upper=known.upper,
        confidence=known.confidence,
    )


def stats(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, staleness: Staleness) -> Stats:
    """All functions at once, whatever the question's is."""
    cut = at.cut(question.range)
    quality = quality_of(question, cut, at=at, now=now, staleness=staleness)
    cells = read(question, cut, at=at, store=store, grains=_ALL_GRAINS, users=True)
    counted, total = _tallies(cells)
    to_come = forecast(question.type, cells, evidence=at.evidence, quality=quality, now=now)
    count = estimate(Function.COUNT, counted=counted, total=total, quality=quality, forecast=to_come)
    known: dict[str, Any] = dict.fromkeys(("count", "sum", "min", "max", "mean"))
    if quality.known:
        known = {"count": total.count, "sum": total.sum, "min": total.min, "max": total.max, "mean": total.mean}
    return Stats(
        **envelope(question, question.range, at=at, quality=quality, exact=quality.exact),
        **known,
        users=users_of(total, quality),
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


def _tallies(cells: Cells) -> tuple[Tally, Tally]:
    """What was recounted, and that together with the speed view's part."""
    counted = Tally.total(cells.batch.values())
    return counted, Tally.total(chain((counted,), (cells.speed or {}).values()))
