"""What a question finds in both views, once for all that is made of it.

The cut of its range at the boundary says which view answers for a bucket: before exact_until the batch view, in the
fewest buckets; from there on the speed view, its minutes and what came late to them. What came late to the minutes
before exact_until, and is not in the version that was published, is pending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Final, NamedTuple

from serving.answers.quality import Quality, quality_of
from serving.answers.snapshot import Cut, Snapshot
from tallymark.buckets import Bucket, Grain, Span, TimeRange
from tallymark.cells import HOUR_STEPS, STEP_MS, CellKey, CellSpan, LateCell
from tallymark.client.questions import Question
from tallymark.documents.progress import Staleness
from tallymark.errors import InvalidQuestion
from tallymark.instants import DAY, HOUR, MINUTE_MS, millis_of
from tallymark.store import View, ViewStore
from tallymark.tally import ZERO, Tally

__all__ = ["MAX_CELLS", "Cells", "Reading"]

MAX_CELLS: Final = 100_000
_SHORTEST: Final = {Grain.MINUTE: 1, Grain.HOUR: HOUR, Grain.DAY: DAY, Grain.MONTH: 28 * DAY}  # in minutes


class Cells(NamedTuple):
    """The cells of one question, each bucket from one view. `speed` is None when readers have no speed view.

    `pending`: late cells of counted minutes that the version has not counted.
    """

    batch: Mapping[CellKey, Tally]
    speed: Mapping[CellKey, Tally] | None
    pending: Sequence[LateCell] = ()


class Reading:
    """Of one question over its range, or over the whole buckets around it."""

    def __init__(self, cut: Cut, cells: Cells, quality: Quality) -> None:
        self.cut = cut
        self.cells = cells
        self.quality = quality

    @classmethod
    def of(
        cls,
        question: Question,
        parts: Sequence[TimeRange],
        *,
        at: Snapshot,
        store: ViewStore,
        now: datetime,
        staleness: Staleness,
        users: bool,
    ) -> Reading:
        """`parts`: adjacent ranges; each cell that is read lies in one of them. `users`: whether sketches matter.

        Raises InvalidQuestion when it takes more cells of the batch view than anybody should wait for.
        """
        cut = at.cut(TimeRange(parts[0].start, parts[-1].end))
        tiles = _tiles(parts, cut.counted)
        cells = _read(question, cut, tiles, at=at, store=store, users=users)
        late = sum(cell.tally.count for cell in cells.pending)
        return cls(cut, cells, quality_of(question, cut, late=late, at=at, now=now, staleness=staleness))

    @cached_property
    def counted(self) -> Tally:
        """What was recounted."""
        return Tally.total(self.cells.batch.values())

    @cached_property
    def total(self) -> Tally:
        """That, and the speed view's part."""
        return Tally.total(chain((self.counted,), (self.cells.speed or {}).values()))

    @cached_property
    def pending(self) -> Tally:
        return Tally.total(cell.tally for cell in self.cells.pending)


def _tiles(parts: Sequence[TimeRange], counted: TimeRange) -> list[Span]:
    """The fewest buckets that tile what was counted of each part, in as few runs as they make."""
    tiles: list[Span] = []
    longest = max(part.end - part.start for part in parts)
    grains = [grain for grain, shortest in _SHORTEST.items() if shortest <= longest]
    if all(grains[-1].floor(part.start) == part.start for part in parts[1:]):
        parts = [TimeRange(parts[0].start, parts[-1].end)]  # whatever tiles them all lies in one of them anyway
    for part in parts:
        for span in part.cut(counted.end)[0].split(grains):
            if tiles and tiles[-1].end == span.start and tiles[-1].grain is span.grain:
                tiles[-1] = Span(span.grain, tiles[-1].start, span.end)
            else:
                tiles.append(span)
    if sum(span.size for span in tiles) > MAX_CELLS:
        raise InvalidQuestion(
            f"it takes more than {MAX_CELLS} counts to answer in this time zone; ask for a shorter range or a coarser "
            f"grain, or in UTC",
            "grain",
        )
    return tiles


def _read(question: Question, cut: Cut, tiles: Sequence[Span], *, at: Snapshot, store: ViewStore, users: bool) -> Cells:
    video_id, type_, epoch = question.video_id, question.type, at.publication.epoch
    spans = CellSpan.all(video_id, type_, tiles)
    batch = store.get(View.BATCH, spans, version=at.publication.version, users=users) if spans else {}
    if at.speed_until is None:
        return Cells(batch, None)
    spans = CellSpan.all(video_id, type_, cut.fresh.split([Grain.MINUTE]))
    speed = dict(store.get(View.SPEED, spans, version=epoch, users=users)) if spans else {}
    pending = []
    since, until = _steps(cut, at, at.speed_until)
    for cell in store.get_late(video_id, type_, since=since, until=until, version=epoch, users=users):
        if cut.fresh.start <= cell.minute < cut.fresh.end:
            key = CellKey(video_id, type_, Bucket(Grain.MINUTE, cell.minute))
            speed[key] = speed.get(key, ZERO) + cell.tally
        elif cut.counted.start <= cell.minute < cut.counted.end and cell.step >= at.publication.first_uncounted_step:
            pending.append(cell)
    return Cells(batch, speed, pending)


def _steps(cut: Cut, at: Snapshot, speed_until: datetime) -> tuple[int, int]:
    """[since, until) of the log's time, in which a late event can have come that matters here.

    What occurred at or after exact_until and was late came after exact_until. What came an hour after what is known to
    be in the speed view is not in it.
    """
    steps = [] if cut.counted.empty else [at.publication.first_uncounted_step]
    steps += [] if cut.fresh.empty else [cut.fresh.start * MINUTE_MS // STEP_MS]
    until = millis_of(speed_until) // STEP_MS + HOUR_STEPS
    return min(steps, default=until), until
