"""Speed minutes, summed to hours by video and type, against batch hours. Pure: cells in, figures out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from tallymark.buckets import Grain
from tallymark.cells import RESERVED, Cell
from tallymark.documents.audit_record import Difference, Figures, HourCell
from tallymark.tally import Tally

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """`figures` by (hour, type), `events` of the batch view by hour, and the cells that differ; of one shard."""

    figures: dict[tuple[int, str], Figures] = field(default_factory=dict)
    events: dict[int, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)


def compare(batch: Iterable[Cell], speed: Iterable[Cell], hours: Collection[int]) -> Comparison:
    """`batch`: hour cells; `speed`: minute cells; only those of `hours` (starts in epoch minutes) are looked at.

    A cell that holds nothing is no cell: a recount overwrites what vanished with nothing.
    """
    exact = {HourCell(video, kind, bucket.start): tally for video, kind, bucket, tally in _within(batch, hours)}
    minutes: dict[HourCell, list[Tally]] = defaultdict(list)
    for video, kind, bucket, tally in _within(speed, hours):
        minutes[HourCell(video, kind, Grain.HOUR.floor(bucket.start))].append(tally)
    found: dict[tuple[int, str], Figures] = defaultdict(Figures)
    events: dict[int, int] = defaultdict(int)
    differences = []
    for cell in exact.keys() | minutes.keys():
        truth, parts = exact.get(cell), minutes.get(cell)
        seen = Tally.total(parts) if parts else None
        figures = _figures(truth, seen, parts or ())
        found[cell.hour, cell.type] += figures
        events[cell.hour] += figures.batch
        if not figures.equal:
            events_by = (None if tally is None else tally.count for tally in (truth, seen))
            differences.append(Difference(cell, *events_by))
    return Comparison(dict(found), dict(events), differences)


def _within(cells: Iterable[Cell], hours: Collection[int]) -> Iterable[Cell]:
    return (
        cell
        for cell in cells
        if cell.tally.count and cell.bucket.start // 60 * 60 in hours and not cell.video_id.startswith(RESERVED)
    )


def _figures(truth: Tally | None, seen: Tally | None, parts: Sequence[Tally]) -> Figures:
    batch, speed = truth.count if truth else 0, seen.count if seen else 0
    equal = truth is not None and seen is not None and _numbers(truth) == _numbers(seen)
    return Figures(
        equal=int(equal),
        differing=int(not equal and truth is not None and seen is not None),
        missing=int(seen is None),
        extra=int(truth is None),
        batch=batch,
        speed=speed,
        under=max(0, batch - speed),
        over=max(0, speed - batch),
        negative=int(batch < 0 or any(part.count < 0 for part in parts)),
        users_off=int(equal and truth is not None and seen is not None and not _same_users(truth, seen, parts)),
    )


def _numbers(tally: Tally) -> tuple[int, int, int | None, int | None]:
    return tally.count, tally.sum, tally.min, tally.max


def _same_users(truth: Tally, seen: Tally, parts: Sequence[Tally]) -> bool:
    """Whether the sketches can be of the same users: their intervals overlap."""
    if truth.users is None or seen.users is None:
        return truth.users is seen.users
    if len(parts) == 1 and truth.users == seen.users:  # as in most hours of most videos; an estimate costs far more
        return True
    ours, theirs = truth.uniques(), seen.uniques()
    return ours.lower <= theirs.upper and theirs.lower <= ours.upper
