"""A question, bucket by bucket, in a time zone. What is read is tiled bucket by bucket, so no cell lies in two."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Final
from zoneinfo import ZoneInfo

from serving.answers.calendar import buckets
from serving.answers.estimate import value_of
from serving.answers.reading import Reading
from serving.answers.snapshot import Snapshot
from serving.answers.stitch import envelope
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import GrainName, Point, Series
from tallymark.documents.imports import Span
from tallymark.documents.progress import Staleness
from tallymark.errors import InvalidQuestion
from tallymark.instants import instant
from tallymark.store import ViewStore
from tallymark.tally import Tally

__all__ = ["MAX_POINTS", "series"]

MAX_POINTS: Final = 10_000


def series(
    question: Question,
    grain: GrainName,
    *,
    zone: ZoneInfo,
    at: Snapshot,
    store: ViewStore,
    now: datetime,
    staleness: Staleness,
) -> Series:
    """One point per bucket of the range, which is aligned outward to whole buckets. Raises InvalidQuestion."""
    parts = _parts(question.range, grain, zone)
    users = question.function is Function.USERS
    reading = Reading.of(question, parts, at=at, store=store, now=now, staleness=staleness, users=users)
    quality, cells = reading.quality, reading.cells
    starts = [part.start for part in parts]
    tallies: dict[int, list[Tally]] = defaultdict(list)
    for key, tally in chain(cells.batch.items(), (cells.speed or {}).items()):
        tallies[_index(starts, key.bucket.start)].append(tally)
    late = {_index(starts, cell.minute) for cell in cells.pending}
    waiting = _touched(parts, [span for one in quality.imports_pending for span in one.spans])
    exact_until = starts[0] if users else reading.cut.counted.end

    def point(index: int, part: TimeRange) -> Point:
        tally = Tally.total(tallies.get(index, ()))
        return Point(
            start=instant(part.start),
            end=instant(part.end),
            value=value_of(question.function, tally) if part.start < quality.known_until else None,
            exact=part.end <= exact_until and index not in late and index not in waiting,
        )

    return Series(
        **envelope(
            question,
            TimeRange(parts[0].start, parts[-1].end),
            at=at,
            quality=quality,
            exact=quality.exact and not users,
        ),
        function=question.function,
        grain=grain,
        tz=zone.key,
        points=tuple(point(index, part) for index, part in enumerate(parts)),
    )


def _parts(within: TimeRange, grain: GrainName, zone: ZoneInfo) -> list[TimeRange]:
    parts = list(islice(buckets(grain, within, zone), MAX_POINTS + 1))
    if len(parts) > MAX_POINTS:
        raise InvalidQuestion(
            f"the range holds more than {MAX_POINTS} points; ask for a shorter range or a coarser grain",
            "grain",
        )
    return parts


def _touched(parts: Sequence[TimeRange], spans: Sequence[Span]) -> set[int]:
    """Which parts hold some of a span."""
    starts, ends = [part.start for part in parts], [part.end for part in parts]
    return {index for start, end in spans for index in range(bisect_right(ends, start), bisect_left(starts, end))}


def _index(starts: Sequence[int], minute: int) -> int:
    """Of which part a minute is."""
    return bisect_right(starts, minute) - 1
