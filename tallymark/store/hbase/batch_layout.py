"""How rows of the batch view lie in HBase. Pure, as `layout` is.

The row's numbers are the cell `c:row`, its users `u:row`; their timestamp is the attempt. So a reader at version v asks
for what is older than v + 1, and HBase finds the newest of it (ADR 34).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tallymark.cells import Cell, CellKey, bucket_at, row_of
from tallymark.rows import PackedRow, tallies_in
from tallymark.store.hbase.layout import Chunk, Columns, Piece
from tallymark.tally import Tally

__all__ = ["cells_in", "chunks", "found_in", "read_before", "row_in"]

_NUMBERS: Final = b"c:row"
_USERS: Final = b"u:row"
_OVERHEAD: Final = 60  # bytes that Thrift adds to a row, about


def read_before(version: int) -> int:
    """The timestamp before which a reader of `version` reads: HBase's bound is exclusive."""
    return version + 1


def chunks(rows: Iterable[PackedRow], *, most_bytes: int) -> Iterator[Chunk]:
    """The rows, in chunks of about `most_bytes`."""
    some: dict[bytes, dict[bytes, bytes]] = {}
    count = size = 0
    for key, numbers, users in rows:
        some[key] = {_NUMBERS: numbers} if users is None else {_NUMBERS: numbers, _USERS: users}
        count += 1
        size += len(key) + len(numbers) + len(users or b"") + _OVERHEAD
        if size >= most_bytes:
            yield Chunk(some, count)
            some, count, size = {}, 0, 0
    if some:
        yield Chunk(some, count)


def row_in(row: bytes, columns: Columns) -> PackedRow:
    return PackedRow(row, columns[_NUMBERS], columns.get(_USERS))


def found_in(row: bytes, columns: Columns, wanted: Iterable[Piece]) -> Iterator[tuple[CellKey, Tally]]:
    """The cells of one row that `wanted` names."""
    row_start = int.from_bytes(row[-4:], "big")
    for (video_id, type_, span), first, last in wanted:
        for offset, tally in tallies_in(row_in(row, columns), first=first, last=last):
            yield CellKey(video_id, type_, bucket_at(span.grain, row_start, offset)), tally


def cells_in(row: bytes, columns: Columns) -> Iterator[Cell]:
    """All cells of one row in order. Raises ValueError when it is no row."""
    at = row_of(row)
    for offset, tally in tallies_in(row_in(row, columns)):
        yield Cell(at.video_id, at.type, bucket_at(at.grain, at.start, offset), tally)
