"""All that the speed view has counted of a minute, late or not: what the oracle counts."""

from __future__ import annotations

from collections import defaultdict

from tallymark.buckets import Bucket, Grain
from tallymark.cells import SHARDS, CellKey
from tallymark.store import View, ViewStore
from tallymark.tally import Tally

__all__ = ["speed_cells"]


def speed_cells(store: ViewStore, epoch: int) -> dict[CellKey, Tally]:
    """The minutes of `epoch`, with what came late to them."""
    found: dict[CellKey, list[Tally]] = defaultdict(list)
    for shard in range(SHARDS):
        for cell in store.scan(View.SPEED, shard, Grain.MINUTE, version=epoch):
            found[cell.key].append(cell.tally)
        for late in store.scan_late(shard, version=epoch):
            found[CellKey(late.video_id, late.type, Bucket(Grain.MINUTE, late.minute))].append(late.tally)
    return {key: Tally.total(tallies) for key, tallies in found.items()}
