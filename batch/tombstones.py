"""Cells that are stored but that no raw row names any more: after a deletion, or from an attempt that went too far.

Only hours with fewer raw rows than some attempt counted there can have such cells, so this is rare, and may cost a
walk through the hour cells of the shard. Hour cells are put before minute cells: a minute that is stored has its hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import RESERVED, Cell, CellKey, CellSpan
from tallymark.store import View, ViewStore
from tallymark.tally import ZERO

__all__ = ["stored_keys", "vanished_hours", "vanished_minutes"]


def stored_keys(store: ViewStore, shard: int, hours: Collection[int], *, version: int) -> dict[int, list[CellKey]]:
    """By hour, the keys of the hour cells in `shard` that start at one of `hours`."""
    keys: dict[int, list[CellKey]] = defaultdict(list)
    if not hours:
        return keys
    for cell in store.scan(View.BATCH, shard, Grain.HOUR, version=version):
        if cell.bucket.start in hours and not cell.video_id.startswith(RESERVED):
            keys[cell.bucket.start].append(cell.key)
    return keys


def vanished_hours(stored: Collection[CellKey], counted: Collection[CellKey]) -> Iterator[Cell]:
    """ZERO for each hour cell that is stored but was not counted."""
    return (Cell(*key, ZERO) for key in stored if key not in counted)


def vanished_minutes(
    store: ViewStore, stored: Collection[CellKey], counted: Collection[CellKey], *, version: int
) -> Iterator[Cell]:
    """ZERO for each minute cell within the `stored` hours that was not counted."""
    spans = [CellSpan(key.video_id, key.type, _minutes(key.bucket)) for key in stored]
    found = store.get(View.BATCH, spans, version=version, users=False) if spans else {}
    return (Cell(*key, ZERO) for key in found if key not in counted)


def _minutes(hour: Bucket) -> Span:
    return Span(Grain.MINUTE, hour.start, hour.end)
