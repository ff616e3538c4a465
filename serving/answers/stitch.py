"""The answer to a question: what was recounted before exact_until, what the speed view saw from there on, added up.

    snapshot = snapshots.take()                     # the publication, once: two versions never mix
    cells    = read(question, …, at=snapshot)       # each bucket from one view
    value    = Tally.total(batch cells + speed cells)

The boundary is invisible: with both views complete, the answer is the same wherever exact_until lies.
"""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from math import floor
from typing import Any

from serving.answers.bounds import outlook, reading, users_of
from serving.answers.quality import Patience, Standing, standing
from serving.answers.snapshot import Cells, Snapshot, read
from tallymark.buckets import Grain, TimeRange, instant
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer, Coverage, Stats
from tallymark.store import ViewStore
from tallymark.tally import Tally

__all__ = ["answer", "envelope", "stats"]

_ALL_GRAINS = list(Grain)


def answer(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, patience: Patience) -> Answer:
    stands = standing(question, question.range, at=at, now=now, patience=patience)
    cells = read(
        question, question.range, at=at, store=store, grains=_ALL_GRAINS, users=question.function is Function.USERS
    )
    counted, total = _tallies(cells)
    comes_to = outlook(question.type, cells, evidence=at.evidence, standing=stands, now=now)
    found = reading(question.function, counted=counted, total=total, standing=stands, outlook=comes_to)
    return Answer(
        **envelope(question, question.range, at=at, stands=stands, exact=_is_exact(question.function, stands)),
        function=question.function,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        confidence=found.confidence,
    )


def stats(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, patience: Patience) -> Stats:
    """All functions at once, whatever the question's is."""
    stands = standing(question, question.range, at=at, now=now, patience=patience)
    cells = read(question, question.range, at=at, store=store, grains=_ALL_GRAINS, users=True)
    counted, total = _tallies(cells)
    comes_to = outlook(question.type, cells, evidence=at.evidence, standing=stands, now=now)
    count = reading(Function.COUNT, counted=counted, total=total, standing=stands, outlook=comes_to)
    known: dict[str, Any] = dict.fromkeys(("count", "sum", "min", "max", "mean"))
    if stands.known:
        known = {"count": total.count, "sum": total.sum, "min": total.min, "max": total.max, "mean": total.mean}
    return Stats(
        **envelope(question, question.range, at=at, stands=stands, exact=stands.exact),
        **known,
        users=users_of(total, stands),
        lower=count.lower,
        upper=count.upper,
        confidence=count.confidence,
    )


def envelope(question: Question, covered: TimeRange, *, at: Snapshot, stands: Standing, exact: bool) -> dict[str, Any]:
    """The fields of `models.Envelope`."""
    return {
        "video_id": question.video_id,
        "type": question.type,
        "start": instant(covered.start),
        "end": instant(covered.end),
        "exact": exact,
        "exact_until": at.publication.exact_until,
        "version": at.publication.version,
        "epoch": at.publication.epoch,
        "freshness_ms": stands.freshness_ms,
        "late_pending": stands.late_pending,
        "degraded": stands.degraded,
        "coverage": _coverage(covered, at),
    }


def _coverage(covered: TimeRange, at: Snapshot) -> Coverage:
    if at.coverage is None:
        return Coverage()
    missing, silent, numbered = at.coverage.within(covered)
    # downward: 1.0 is all of it
    share = None if numbered is None else floor(numbered * 10_000) / 10_000
    return Coverage(missing, silent, share, at.coverage.checked_until)


def _is_exact(function: Function, stands: Standing) -> bool:
    return stands.exact and function is not Function.USERS


def _tallies(cells: Cells) -> tuple[Tally, Tally]:
    """What was recounted, and that together with the speed view's part."""
    counted = Tally.total(cells.batch.values())
    return counted, Tally.total(chain((counted,), (cells.speed or {}).values()))
