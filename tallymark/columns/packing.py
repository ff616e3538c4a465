"""Rows of many tallies to their stored form and back: the bytes that `tallymark.rows` says of one.

All rows are laid out in one buffer: their lengths follow from how many buckets they have and how wide their columns
are, and each column is written, or read, for all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tallymark.buckets import Bucket, Grain
from tallymark.cells import bucket_at, place, row_tail
from tallymark.columns.keys import Keys
from tallymark.columns.packed_users import pack_users, unpack_users
from tallymark.columns.ragged import Integers, Words, begins, edges, gathered, joined, scatter, split, starts, within
from tallymark.columns.tallies import Tallies
from tallymark.instants import DAY, HOUR, Minute
from tallymark.rows import FORM, NUMBERS_HEAD, WIDTHS, PackedRow, packed_numbers, unpack
from tallymark.tally import Tally

__all__ = ["from_rows", "places", "row_keys", "to_rows"]

_COLUMNS: Final = 4
_WIDTH: Final = np.array(WIDTHS, dtype=np.int64)
_NEEDS: Final = np.array([1, 1 << 8, 1 << 16, 1 << 32], dtype=np.uint64)  # the next of WIDTHS, from this value on
_SAFE: Final = float(1 << 62)


def places(at: Integers, grain: Grain) -> tuple[Integers, Integers]:
    """(row start, offset) of the buckets that start at `at`, as `tallymark.cells.place`."""
    if grain is Grain.MINUTE:
        return at - at % HOUR, at % HOUR
    if grain is Grain.HOUR:
        return at - at % DAY, at % DAY // HOUR
    distinct, which = np.unique(at, return_inverse=True)
    found = np.array([place(Bucket(grain, Minute(int(start)))) for start in distinct], dtype=np.int64).reshape(-1, 2)
    return found[which, 0], found[which, 1]


def row_keys(keys: Keys, key: Integers, row_start: Integers, grain: Grain) -> list[bytes]:
    """The key of each row."""
    distinct, which = np.unique(row_start, return_inverse=True)
    tails = np.array([*(row_tail(grain, int(at)) for at in distinct), None], dtype=object)[:-1]
    found: list[bytes] = (keys.heads[key] + tails[which]).tolist()
    return found


def to_rows(tallies: Tallies) -> list[PackedRow]:
    """All rows that `tallies` touch, in order; of those of no event there is a row too, and nothing in it."""
    row_start, offset = places(tallies.start, tallies.grain)
    new = begins(tallies.key << 32 | row_start)
    (first,) = np.nonzero(new)
    row = np.cumsum(new) - 1
    keys = row_keys(tallies.keys, tallies.key[first], row_start[first], tallies.grain)
    users = pack_users(tallies, row, offset, len(keys))
    numbers = _pack_numbers(tallies, row, offset, np.array([each is not None for each in users], dtype=np.int64))
    return list(map(PackedRow, keys, numbers, users))


def from_rows(
    grain: Grain,
    keys: Keys,
    *,
    key: Integers,
    row_start: Integers,
    numbers: Sequence[bytes],
    users: Sequence[bytes | None],
) -> Tallies:
    """What is in rows of the keys numbered `key`, which are in the order of key and row start.

    Raises ValueError for bytes that are no such rows.
    """
    row, offset, columns = _unpack_numbers(numbers)
    pairs, crowded = unpack_users(numbers, users, row, offset)
    return Tallies(
        grain=grain,
        keys=keys,
        key=key[row],
        start=_bucket_starts(grain, row_start[row], offset),
        users=pairs,
        crowded=crowded,
        **columns,
    )


def _pack_numbers(tallies: Tallies, row: Integers, offset: Integers, has_users: Integers) -> list[bytes]:
    (filled,) = np.nonzero(tallies.count)
    row, offset = row[filled], offset[filled]
    count, low, high, total = (getattr(tallies, name)[filled] for name in ("count", "low", "high", "total"))
    excess, wide = _excess(total, low, count)
    zigzag = (low << 1 ^ low >> 63).view(np.uint64)
    columns = ((count - 1).view(np.uint64), zigzag, high.view(np.uint64) - low.view(np.uint64), excess)
    rows = len(has_users)
    n = np.bincount(row, minlength=rows)
    codes = [_codes(column, row, rows) for column in columns]
    at = starts(NUMBERS_HEAD.size + n * (1 + sum(_WIDTH[code] for code in codes)))
    buffer = np.zeros(at[-1], dtype=np.uint8)
    shared = sum(code << 3 * which for which, code in enumerate(codes))
    for which, values in enumerate((FORM, has_users, shared & 0xFF, shared >> 8, n)):
        buffer[at[:-1] + which] = values
    index = within(n)
    begin = at[:-1] + NUMBERS_HEAD.size
    buffer[begin[row] + index] = offset
    begin = begin + n
    for column, code in zip(columns, codes, strict=True):
        width = _WIDTH[code]
        scatter(buffer, begin[row] + index * width[row], column, width[row])
        begin = begin + n * width
    packed = split(buffer, at)
    for each in np.unique(row[wide]):
        of_row = filled[row == each]
        packed[each] = packed_numbers(_as_values(tallies, of_row, offset[row == each]), users=bool(has_users[each]))
    return packed


def _unpack_numbers(numbers: Sequence[bytes]) -> tuple[Integers, Integers, dict[str, npt.NDArray[Any]]]:
    """The row and the offset of each bucket, and its columns."""
    buffer, at = joined(numbers)
    n, codes = buffer[at + 4].astype(np.int64), buffer[at + 2] | buffer[at + 3].astype(np.int64) << 8
    row, index = np.repeat(np.arange(len(at)), n), within(n)
    begin = at + NUMBERS_HEAD.size
    offset = buffer[begin[row] + index].astype(np.int64)
    begin = begin + n
    columns: list[Words] = []
    for which in range(_COLUMNS):
        width = _WIDTH[codes >> 3 * which & 0b111]
        columns.append(gathered(buffer, begin[row] + index * width[row], np.minimum(width[row], 8)))
        begin = begin + n * width
    count = columns[0].view(np.int64) + 1
    low = (columns[1] >> np.uint64(1)).view(np.int64) ^ -(columns[1] & np.uint64(1)).view(np.int64)
    high = (low.view(np.uint64) + columns[2]).view(np.int64)
    total = _totals(columns[3], low, count)
    for each in np.nonzero(codes >> 9 == WIDTHS.index(16))[0]:
        total = total.astype(object)
        total[row == each] = [tally.sum for _, tally in unpack(numbers[int(each)])]
    return row, offset, {"count": count, "low": low, "high": high, "total": total}


def _excess(total: npt.NDArray[Any], low: Integers, count: Integers) -> tuple[Words, npt.NDArray[np.bool_]]:
    """The sums above `low` × `count`; and where those do not fit into 64 bits: there it is 0."""
    if total.dtype != object and _furthest(low * 1.0 * count) < _SAFE and _furthest(total * 1.0) < _SAFE:
        return (total - low * count).view(np.uint64), np.zeros(len(total), dtype=np.bool_)
    exact = total.astype(object) - low.astype(object) * count.astype(object)
    wide = np.array([value >= 1 << 64 for value in exact], dtype=np.bool_)
    return np.where(wide, 0, exact).astype(np.uint64), wide


def _totals(excess: Words, low: Integers, count: Integers) -> npt.NDArray[Any]:
    """The inverse of `_excess`, where that fits into 64 bits."""
    if _furthest(low * 1.0 * count) < _SAFE and _furthest(excess * 1.0) < _SAFE:
        return excess.view(np.int64) + low * count
    exact: npt.NDArray[Any] = excess.astype(object) + low.astype(object) * count.astype(object)
    return exact


def _furthest(values: npt.NDArray[np.floating[Any]]) -> float:
    return float(np.abs(values).max()) if len(values) else 0.0


def _codes(column: Words, row: Integers, rows: int) -> Integers:
    """By row, the three bits for the width of its largest value."""
    largest = np.zeros(rows, dtype=np.uint64)
    first = edges(row)[:-1]
    if len(row):
        largest[row[first]] = np.maximum.reduceat(column, first)
    return np.searchsorted(_NEEDS, largest, side="right").astype(np.int64)


def _as_values(tallies: Tallies, at: Integers, offset: Integers) -> dict[int, Tally]:
    columns = (getattr(tallies, name)[at].tolist() for name in ("count", "total", "low", "high"))
    return {where: Tally(*numbers) for where, *numbers in zip(offset.tolist(), *columns, strict=True)}


def _bucket_starts(grain: Grain, row_start: Integers, offset: Integers) -> Integers:
    """The inverse of `places`."""
    if grain is not Grain.MONTH:
        return row_start + offset * (1, HOUR, DAY)[grain]
    distinct, which = np.unique(row_start << 8 | offset, return_inverse=True)
    return np.array([bucket_at(grain, int(at) >> 8, int(at) & 0xFF).start for at in distinct], dtype=np.int64)[which]
