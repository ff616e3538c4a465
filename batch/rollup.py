"""Coarser cells from finer ones: a day is the total of its hours, a month the total of its days.

Only keys that an attempt touches are rolled up. What it did not count itself is read at the attempt's own version: the
published cells, since the plan holds everything that was written after them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from batch.ledger import runs
from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import Cell, CellKey, CellSpan
from tallymark.instants import Minute
from tallymark.store import View, ViewStore
from tallymark.tally import Tally

__all__ = ["day_cells", "in_chunks", "month_cells"]

_KEYS_AT_ONCE: Final = 5_000
T = TypeVar("T")


def day_cells(
    store: ViewStore, hours: Iterable[Cell], others: Mapping[int, Sequence[int]], *, version: int
) -> Iterator[Cell]:
    """The day cells of the keys in `hours`; `others`: by day, the further hours (starts) that are stored already."""
    parts: dict[CellKey, list[Tally]] = defaultdict(list)
    for cell in hours:
        parts[CellKey(cell.video_id, cell.type, Bucket.containing(cell.bucket.start, Grain.DAY))].append(cell.tally)
    rest = {day: runs(Grain.HOUR, starts) for day, starts in others.items()}
    for keys in in_chunks(parts, _KEYS_AT_ONCE):
        stored = _stored(store, ((key, rest.get(key.bucket.start, ())) for key in keys), Grain.DAY, version=version)
        for key in keys:
            yield Cell(*key, Tally.total((*parts[key], *stored[key])))


def month_cells(store: ViewStore, keys: Iterable[tuple[str, str, int]], *, version: int) -> Iterator[Cell]:
    """The month cells of (video, type, month start), all of whose day cells are stored."""
    months = (CellKey(video, kind, Bucket(Grain.MONTH, Minute(start))) for video, kind, start in keys)
    for some in in_chunks(months, _KEYS_AT_ONCE):
        days = ((key, (Span(Grain.DAY, key.bucket.start, key.bucket.end),)) for key in some)
        stored = _stored(store, days, Grain.MONTH, version=version)
        for key in some:
            yield Cell(*key, Tally.total(stored[key]))


def _stored(
    store: ViewStore, spans: Iterable[tuple[CellKey, Iterable[Span]]], grain: Grain, *, version: int
) -> dict[CellKey, list[Tally]]:
    """The stored tallies in each key's spans, by the coarser key of `grain`."""
    asked = [CellSpan(key.video_id, key.type, span) for key, some in spans for span in some]
    found: dict[CellKey, list[Tally]] = defaultdict(list)
    if not asked:
        return found
    for key, tally in store.get(View.BATCH, asked, version=version).items():
        found[key._replace(bucket=Bucket.containing(key.bucket.start, grain))].append(tally)
    return found


def in_chunks(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """`things` in lists of `size`, the last one shorter."""
    iterator = iter(things)
    while chunk := list(islice(iterator, size)):
        yield chunk
