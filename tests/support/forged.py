"""Cells of the batch view changed where they lie, as no recount would."""

from __future__ import annotations

from tallymark.cells import Cell, bucket_starts, place, row_key
from tallymark.rows import pack, unpack
from tallymark.store import Attempt, ViewStore

__all__ = ["forge"]


def forge(store: ViewStore, cells: list[Cell], *, version: int) -> None:
    """Put `cells` into the rows that hold them; what else is in those rows stays. A ZERO takes its cell out."""
    whole = {cell.key: cell for cell in cells}
    for video_id, type_, bucket, _ in cells:
        start = place(bucket)[0]
        key = row_key(video_id, type_, bucket.grain, start)
        starts = bucket_starts(bucket.grain, start)
        for row in store.get_rows([key], version=version).values():
            for offset, tally in unpack(row.numbers, row.users):
                held = Cell(video_id, type_, bucket._replace(start=starts[offset]), tally)
                whole.setdefault(held.key, held)
    store.put_rows(pack(whole.values()), version=Attempt(version))
