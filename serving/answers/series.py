"""A question, bucket by bucket. Cells of a grain no coarser than the points' lie in exactly one point each."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import chain, islice
from typing import Final

from serving.answers.estimate import value_of
from serving.answers.reading import Cells, Reading
from serving.answers.snapshot import Snapshot
from serving.answers.stitch import envelope
from tallymark.buckets import Bucket, Grain, Span, TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import GrainName, Point, Series
from tallymark.documents.progress import Staleness
from tallymark.errors import InvalidQuestion
from tallymark.instants import instant
from tallymark.store import ViewStore
from tallymark.tally import Tally

__all__ = ["MAX_POINTS", "series"]

MAX_POINTS: Final = 10_000


def series(
    question: Question, name: GrainName, *, at: Snapshot, store: ViewStore, now: datetime, staleness: Staleness
) -> Series:
    """One point per bucket of the range, which is aligned outward to whole buckets. Raises InvalidQuestion."""
    grain = name.grain
    covered = TimeRange(grain.floor(question.range.start), grain.ceil(question.range.end))
    buckets = _buckets(covered, name)
    users = question.function is Function.USERS
    grains = [each for each in Grain if each <= grain]
    reading = Reading.of(
        question, covered, at=at, store=store, now=now, staleness=staleness, grains=grains, users=users
    )
    quality = reading.quality
    tallies = _by_bucket(reading.cells, grain)
    late = {grain.floor(cell.minute) for cell in reading.cells.pending}
    exact_until = covered.start if users else reading.cut.counted.end

    def point(bucket: Bucket) -> Point:
        tally = Tally.total(tallies.get(bucket.start, ()))
        return Point(
            start=instant(bucket.start),
            value=value_of(question.function, tally) if bucket.start < quality.known_until else None,
            exact=bucket.end <= exact_until and bucket.start not in late,
        )

    return Series(
        **envelope(question, covered, at=at, quality=quality, exact=quality.exact and not users),
        function=question.function,
        grain=name,
        points=tuple(map(point, buckets)),
    )


def _buckets(covered: TimeRange, name: GrainName) -> list[Bucket]:
    buckets = list(islice(Span(name.grain, *covered).buckets(), MAX_POINTS + 1))
    if len(buckets) > MAX_POINTS:
        raise InvalidQuestion(
            f"the range holds more than {MAX_POINTS} points of a {name}; ask for a shorter range or a coarser grain",
            "grain",
        )
    return buckets


def _by_bucket(cells: Cells, grain: Grain) -> dict[int, list[Tally]]:
    groups: dict[int, list[Tally]] = defaultdict(list)
    for key, tally in chain(cells.batch.items(), (cells.speed or {}).items()):
        groups[grain.floor(key.bucket.start)].append(tally)
    return groups
