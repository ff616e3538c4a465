"""The answer to a question: what was recounted before exact_until, what the speed view saw from there on, added up.

    snapshot = look(store)                          # the publication, once: two versions never mix
    cells    = read(question, …, at=snapshot)       # each bucket from one view
    value    = Tally.total(batch cells + speed cells)

The boundary is invisible: with both views complete, the answer is the same wherever exact_until lies.
"""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from typing import Any

from serving.bounds import reading, users_of
from serving.models import Answer, Stats
from serving.questions import Function, Question
from serving.reader import Snapshot, read
from serving.standing import Patience, Standing, standing
from tallymark.buckets import Grain, TimeRange, instant
from tallymark.store import ViewStore
from tallymark.tally import Tally

__all__ = ["answer", "envelope", "stats"]

_ALL_GRAINS = list(Grain)


def answer(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, patience: Patience) -> Answer:
    stands = standing(question, question.range, at=at, now=now, patience=patience)
    counted, total = _tallies(question, at=at, store=store, users=question.function is Function.USERS)
    found = reading(question.function, counted=counted, total=total, standing=stands)
    return Answer(
        **envelope(question, question.range, at=at, stands=stands, exact=_is_exact(question.function, stands)),
        function=question.function,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
    )


def stats(question: Question, *, at: Snapshot, store: ViewStore, now: datetime, patience: Patience) -> Stats:
    """All functions at once, whatever the question's is."""
    stands = standing(question, question.range, at=at, now=now, patience=patience)
    counted, total = _tallies(question, at=at, store=store, users=True)
    count = reading(Function.COUNT, counted=counted, total=total, standing=stands)
    known: dict[str, Any] = dict.fromkeys(("count", "sum", "min", "max", "mean"))
    if stands.known:
        known = {"count": total.count, "sum": total.sum, "min": total.min, "max": total.max, "mean": total.mean}
    return Stats(
        **envelope(question, question.range, at=at, stands=stands, exact=stands.exact),
        **known,
        users=users_of(total, stands),
        lower=count.lower,
        upper=count.upper,
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
    }


def _is_exact(function: Function, stands: Standing) -> bool:
    return stands.exact and function is not Function.USERS


def _tallies(question: Question, *, at: Snapshot, store: ViewStore, users: bool) -> tuple[Tally, Tally]:
    """What was recounted, and that together with the speed view's part."""
    cells = read(question, question.range, at=at, store=store, grains=_ALL_GRAINS, users=users)
    counted = Tally.total(cells.batch.values())
    return counted, Tally.total(chain((counted,), (cells.speed or {}).values()))
