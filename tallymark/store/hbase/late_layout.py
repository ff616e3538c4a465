"""How late cells lie in HBase, in the table of the speed view. Pure, as `layout` is.

    row      shard | video_id | 00 | type | 00 | 10 | hour of the log's time (epoch minutes, 4 bytes)
    column   epoch (2), the step's offset in that hour (2, 0 to 1799), minute in which it occurred (4), generation (4)

So what came late to a video and type since some step is one range of rows, a row an hour. The tag 10 is no grain:
whoever walks the rows of a grain passes over them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from tallymark.cells import HOUR_STEPS, LateCell, key_head, of_head
from tallymark.instants import HOUR, Minute
from tallymark.store import Stamp
from tallymark.store.hbase import layout

__all__ = ["cells_in", "chunks", "end_of", "is_late", "late_filter", "row_of_step", "rows_between", "rows_since"]

_TAG: Final = 0x10
_TAIL: Final = struct.Struct(">BI")
_COLUMN: Final = struct.Struct(">HHII")


def chunks(cells: Iterable[LateCell], *, version: Stamp, most_bytes: int) -> Iterator[layout.Chunk]:
    """As `layout.chunks`."""
    placed = (
        (row_of_step(cell.video_id, cell.type, cell.step), _qualifier(cell, version), cell.tally) for cell in cells
    )
    return layout.chunked(placed, most_bytes)


def row_of_step(video_id: str, type: str, step: int) -> bytes:
    """The row of the late cells that the log took in the hour of `step`: those of a video and type lie side by side."""
    return key_head(video_id, type) + _TAIL.pack(_TAG, step // HOUR_STEPS * HOUR)


def is_late(row: bytes) -> bool:
    return len(row) > _TAIL.size and row[-_TAIL.size] == _TAG


def rows_since(video_id: str, type: str, since: int) -> tuple[bytes, bytes]:
    """[first, end) of the rows with the late cells of a video and type, from step `since` on."""
    return row_of_step(video_id, type, since), key_head(video_id, type) + bytes((_TAG + 1,))


def rows_between(video_id: str, type: str, since: int, until: int) -> list[bytes]:
    """The rows that may hold late cells of the steps from `since` to before `until`."""
    return [row_of_step(video_id, type, step) for step in range(since - since % HOUR_STEPS, until, HOUR_STEPS)]


def end_of(row: bytes) -> int:
    """The first step after the hour of the log's time that a row of late cells holds."""
    return (int.from_bytes(row[-4:], "big") // HOUR + 1) * HOUR_STEPS


def cells_in(row: bytes, columns: layout.Columns, *, version: int) -> Iterator[LateCell]:
    """All late cells of one row, by (step, minute), each with the newest epoch ≤ `version`."""
    video_id, type_ = of_head(row[: -_TAIL.size])
    first = end_of(row) - HOUR_STEPS
    newest: dict[tuple[int, int], tuple[int, list[bytes]]] = {}
    for qualifier in layout.columns_of_numbers(columns):
        epoch, offset, minute, _ = _COLUMN.unpack(qualifier)
        if epoch > version:
            continue
        seen, parts = newest.get((first + offset, minute), (-1, []))
        if epoch > seen:
            newest[first + offset, minute] = epoch, [qualifier]
        elif epoch == seen:
            parts.append(qualifier)
    for (step, minute), (_, qualifiers) in sorted(newest.items()):
        yield LateCell(video_id, type_, step, Minute(minute), layout.total(columns, qualifiers))


def late_filter() -> bytes:
    """As `grain_filter`, of rows of late cells."""
    return rb"RowFilter(=, 'regexstring:[^\x00]\x00\x%02x.{1,4}\z')" % _TAG


def _qualifier(cell: LateCell, stamp: Stamp) -> bytes:
    return _COLUMN.pack(layout.epoch_of(stamp), cell.step % HOUR_STEPS, cell.minute, stamp.generation)
