"""How cells lie in HBase: what a column, a timestamp and a value mean. Pure: bytes in, bytes out, no server.

Rows are those of `tallymark.cells`. Numbers are in the column family `c`, the sketches of users, a thousand times as
long, under the same names in `u`: HBase keeps families in files of their own, and a count reads only one (ADR 36).

    table   column                                          timestamp        versions kept
    batch   c:row, u:row (`batch_layout`)                   attempt          512
    speed   c, u: epoch (2), offset (1), generation (4)     micro-batch + 1  1
    meta    c:body, row = name of the document              the server's     1

Numbers in columns are big-endian. How late cells lie is in `late_layout`. Columns of layout 1, which knew no
generations, have three bytes: they are parts like the others.

The first byte of a number says whether a sketch was put with it: one of an older version may lie under it.

So HBase itself keeps what the port promises (ADR 34): an attempt is read by its timestamp, and of two puts of an epoch
the later micro-batch wins, whoever comes last. A stored document begins with one byte that is no part of it: to HBase's
compare-and-set an empty value and a missing one are the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tallymark.buckets import Grain
from tallymark.cells import Cell, CellKey, CellSpan, bucket_at, place, row_key, row_of
from tallymark.store import Stamp
from tallymark.tally import Tally

__all__ = [
    "BODY",
    "FAMILIES",
    "NUMBERS",
    "USERS",
    "VERSIONS",
    "Chunk",
    "Columns",
    "Piece",
    "after",
    "body_of",
    "cells_in",
    "chunked",
    "chunks",
    "columns_of_numbers",
    "epoch_of",
    "found_in",
    "grain_filter",
    "most_rows",
    "pieces",
    "row_range",
    "stored",
    "timestamp",
    "total",
]

NUMBERS: Final = b"c"
USERS: Final = b"u"
FAMILIES: Final = {"speed": (NUMBERS, USERS), "batch": (NUMBERS, USERS), "meta": (NUMBERS,)}
BODY: Final = b"c:body"
VERSIONS: Final = {"speed": 1, "batch": 512, "meta": 1}
_MARK: Final = b"\x01"
_ALONE: Final = b"\x00"
_WITH_USERS: Final = b"\x01"
_SPEED: Final = struct.Struct(">HB")  # which columns of every form begin with
_PART: Final = struct.Struct(">HBI")
_NEWEST_EPOCH: Final = 0xFFFF
_SHORTEST_ROW: Final = (60, 1440, 28 * 1440, 365 * 1440)  # in minutes, by grain
_OVERHEAD: Final = 30  # bytes that Thrift adds to a cell, about

Columns = Mapping[bytes, bytes]  # of one row: column (with family) to value


class Chunk(NamedTuple):
    """Cells for one call: row key → column → value. `cells` is how many were given, the same one twice included."""

    rows: dict[bytes, dict[bytes, bytes]]
    cells: int


class Piece(NamedTuple):
    """The cells of one row, first to last offset, that belong to a span."""

    asked: CellSpan
    first: int
    last: int


def timestamp(version: Stamp) -> int:
    """HBase takes 0 for a timestamp of its own kind: micro-batches, which count from 0, are moved by one."""
    return version.micro_batch + 1


def chunks(cells: Iterable[Cell], *, version: Stamp, most_bytes: int) -> Iterator[Chunk]:
    """The cells grouped by row, in chunks of about `most_bytes`; of one cell given twice in a chunk the later counts.

    Raises ValueError for an epoch that does not fit two bytes.
    """
    placed = ((*_place(cell, version), cell.tally) for cell in cells)
    return chunked(placed, most_bytes)


def chunked(placed: Iterable[tuple[bytes, bytes, Tally]], most_bytes: int) -> Iterator[Chunk]:
    """(row, qualifier, tally) of each cell, in chunks of about `most_bytes`."""
    rows: dict[bytes, dict[bytes, bytes]] = {}
    count = size = 0
    for row, qualifier, tally in placed:
        columns = rows.setdefault(row, {})
        added = _columns(qualifier, tally)
        columns.update(added)
        count += 1
        size += sum(map(len, added.values())) + _OVERHEAD
        if size >= most_bytes:
            yield Chunk(rows, count)
            rows = {}
            count = size = 0
    if rows:
        yield Chunk(rows, count)


def pieces(spans: Iterable[CellSpan]) -> dict[bytes, list[Piece]]:
    """By row key, what the spans want of that row."""
    wanted: dict[bytes, list[Piece]] = {}
    for asked in spans:
        for row, first, last in asked.rows():
            wanted.setdefault(row, []).append(Piece(asked, first, last))
    return wanted


def most_rows(asked: CellSpan) -> int:
    """How many rows the span touches, or up to two more: without walking them, which over 70 years of minutes tells."""
    grain, start, end = asked.span
    return (end - start) // _SHORTEST_ROW[grain] + 2


def row_range(asked: CellSpan) -> tuple[bytes, bytes]:
    """[first, end) of the row keys of the span: rows of one video, type and grain are adjacent."""
    grain = asked.span.grain
    first, last = (place(bucket)[0] for bucket in (asked.span.first, asked.span.last))
    return row_key(asked.video_id, asked.type, grain, first), after(row_key(asked.video_id, asked.type, grain, last))


def found_in(row: bytes, columns: Columns, wanted: Iterable[Piece], *, version: int) -> Iterator[tuple[CellKey, Tally]]:
    """The cells of one row that `wanted` names, each with the newest epoch ≤ `version`."""
    row_start = int.from_bytes(row[-4:], "big")
    newest = _newest(columns, version)
    for asked, first, last in wanted:
        video_id, type_, span = asked
        for offset, qualifiers in newest.items():
            if first <= offset <= last:
                bucket = bucket_at(span.grain, row_start, offset)
                yield CellKey(video_id, type_, bucket), total(columns, qualifiers)


def cells_in(row: bytes, columns: Columns, *, version: int) -> Iterator[Cell]:
    """All cells of one row in order, each with the newest epoch ≤ `version`. Raises ValueError when it is no row."""
    at = row_of(row)
    for offset, qualifiers in sorted(_newest(columns, version).items()):
        yield Cell(at.video_id, at.type, bucket_at(at.grain, at.start, offset), total(columns, qualifiers))


def grain_filter(grain: Grain) -> bytes:
    """A filter that passes all rows of `grain` and next to none of the others; HBase compares rows as UTF-8 text.

    A type ends in a character that is not NUL, then come NUL, the grain, and the four bytes of the row start, which
    are one to four characters, however they are read.
    """
    return rb"RowFilter(=, 'regexstring:[^\x00]\x00\x%02d.{1,4}\z')" % grain


def after(row: bytes) -> bytes:
    """The first key that is greater than `row`."""
    return row + b"\0"


def stored(body: bytes) -> bytes:
    """What is stored of a document."""
    return _MARK + body


def body_of(columns: Columns) -> bytes:
    """The document in the columns of its row."""
    return columns[BODY].removeprefix(_MARK)


def _place(cell: Cell, stamp: Stamp) -> tuple[bytes, bytes]:
    """The row and the column of a cell."""
    row_start, offset = place(cell.bucket)
    row = row_key(cell.video_id, cell.type, cell.bucket.grain, row_start)
    return row, _PART.pack(epoch_of(stamp), offset, stamp.generation)


def epoch_of(stamp: Stamp) -> int:
    """Raises ValueError when it does not fit two bytes."""
    if not 0 <= stamp.epoch <= _NEWEST_EPOCH:
        raise ValueError(f"epoch {stamp.epoch} does not fit the two bytes that a column has for it; start a new store")
    return stamp.epoch


def _columns(qualifier: bytes, tally: Tally) -> dict[bytes, bytes]:
    if tally.users is None:
        return {b"c:" + qualifier: _ALONE + tally.to_bytes()}
    return {b"c:" + qualifier: _WITH_USERS + tally.to_bytes(), b"u:" + qualifier: tally.users.to_bytes()}


def total(columns: Columns, qualifiers: Sequence[bytes]) -> Tally:
    """The sum of the parts in those columns."""
    if len(qualifiers) == 1:
        return _tally(columns, qualifiers[0])
    return Tally.total(_tally(columns, qualifier) for qualifier in qualifiers)


def _tally(columns: Columns, qualifier: bytes) -> Tally:
    """With its sketch, if that was put with it and was asked for."""
    numbers = columns[b"c:" + qualifier]
    users = columns.get(b"u:" + qualifier) if numbers[:1] == _WITH_USERS else None
    return Tally.from_bytes(numbers[1:], users)


def _newest(columns: Columns, version: int) -> dict[int, list[bytes]]:
    """By offset, the columns that a reader of `version` sees: those of the newest epoch."""
    newest: dict[int, tuple[int, list[bytes]]] = {}
    for qualifier in columns_of_numbers(columns):
        epoch, offset = _SPEED.unpack_from(qualifier)
        if epoch > version:
            continue
        seen, parts = newest.get(offset, (-1, []))
        if epoch > seen:
            newest[offset] = epoch, [qualifier]
        elif epoch == seen:
            parts.append(qualifier)
    return {offset: qualifiers for offset, (_, qualifiers) in newest.items()}


def columns_of_numbers(columns: Columns) -> Iterator[bytes]:
    """The qualifiers of the cells in one row."""
    return (column[2:] for column in columns if column[:2] == b"c:")
