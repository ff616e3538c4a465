"""Tallies in columns as single cells, for those who compare them with the oracle's."""

from __future__ import annotations

from tallymark.buckets import Bucket
from tallymark.cells import Cell
from tallymark.columns.tallies import Tallies
from tallymark.columns.users import sketch_of
from tallymark.tally import Tally

__all__ = ["cells_of"]


def cells_of(tallies: Tallies) -> list[Cell]:
    """Those of some event, in order."""
    first, coupons = tallies.coupons()
    found = []
    for n in range(len(tallies)):
        if not (count := int(tallies.count[n])):
            continue
        users = coupons[first[n] : first[n + 1]]
        sketch = sketch_of(users) if len(users) else None
        tally = Tally(count, int(tallies.total[n]), int(tallies.low[n]), int(tallies.high[n]), sketch)
        bucket = Bucket(tallies.grain, int(tallies.start[n]))
        found.append(Cell(*tallies.keys[int(tallies.key[n])], bucket, tally))
    return found
