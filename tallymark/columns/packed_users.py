"""The users of many rows, to the second value of `tallymark.rows` and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tallymark.columns.ragged import Integers, Words, begins, edges, gathered, joined, scatter, split, starts, within
from tallymark.columns.tallies import Tallies
from tallymark.columns.users import registers_in, sketch_of
from tallymark.rows import FORM, MOST_COUPONS, USERS_HEAD
from tallymark.sketch import COUPON_BYTES

__all__ = ["pack_users", "unpack_users"]

_PER_BUCKET: Final = 3  # bytes: its offset and the size of its users
_HALF: Final = np.uint64(32)


def pack_users(tallies: Tallies, row: Integers, offset: Integers, rows: int) -> list[bytes | None]:
    """Of each row; None of a row without users. `row` and `offset` of each of the tallies."""
    first, coupons = tallies.coupons()
    (known,) = np.nonzero(np.diff(first))
    row, offset, users = row[known], offset[known], np.diff(first)[known]
    crowded = tallies.crowded[known]
    size = users * COUPON_BYTES
    sketches = {
        int(at): sketch_of(coupons[first[known[at]] : first[known[at] + 1]]).smaller() for at in np.nonzero(crowded)[0]
    }
    for bucket, sketch in sketches.items():
        size[bucket] = len(sketch)
    n = np.bincount(row, minlength=rows)
    payload = np.bincount(row, weights=size, minlength=rows).astype(np.int64)
    at = starts(np.where(n > 0, USERS_HEAD.size + _PER_BUCKET * n + payload, 0))
    buffer = np.zeros(at[-1], dtype=np.uint8)
    (some,) = np.nonzero(n)
    buffer[at[some]], buffer[at[some] + 1] = FORM, n[some]
    begin, index = at[row] + USERS_HEAD.size, within(n)
    buffer[begin + index] = offset
    scatter(buffer, begin + n[row] + 2 * index, size, np.full(len(row), 2))
    begin = begin + _PER_BUCKET * n[row] + _before(size, row)
    counts = np.where(crowded, 0, users)
    element = within(counts)
    plain = coupons[np.repeat(first[known], counts) + element]
    scatter(buffer, np.repeat(begin, counts) + COUPON_BYTES * element, plain, np.full(len(plain), COUPON_BYTES))
    for bucket, sketch in sketches.items():
        buffer[begin[bucket] : begin[bucket] + len(sketch)] = np.frombuffer(sketch, dtype=np.uint8)
    return [value or None for value in split(buffer, at)]


def unpack_users(
    numbers: Sequence[bytes], users: Sequence[bytes | None], row: Integers, offset: Integers
) -> tuple[Words, npt.NDArray[np.bool_]]:
    """The pairs of place and coupon, sorted, and which places are crowded: see `Tallies`.

    `row` and `offset` of each bucket in the rows' `numbers`, which say whether there were users when they were put.
    """
    crowded = np.zeros(len(row), dtype=np.bool_)
    known = [at for at, value in enumerate(users) if value is not None and numbers[at][1]]
    buffer, at = joined([users[which] or b"" for which in known])
    n = buffer[at + 1].astype(np.int64)
    owner, index = np.repeat(np.arange(len(at)), n), within(n)
    begin = at[owner] + USERS_HEAD.size
    bucket = np.array(known, dtype=np.int64)[owner] << 8 | buffer[begin + index]
    place = np.searchsorted(row << 8 | offset, bucket)
    size = gathered(buffer, begin + n[owner] + 2 * index, np.full(len(owner), 2)).astype(np.int64)
    begin = begin + _PER_BUCKET * n[owner] + _before(size, owner)
    many = size > MOST_COUPONS * COUPON_BYTES
    crowded[place[many]] = True
    counts = np.where(many, 0, size // COUPON_BYTES)
    at_coupon = np.repeat(begin, counts) + COUPON_BYTES * within(counts)
    coupons = gathered(buffer, at_coupon, np.full(len(at_coupon), COUPON_BYTES))
    pairs = [np.repeat(place, counts).astype(np.uint64) << _HALF | coupons]
    for which in np.nonzero(many)[0]:
        registers = registers_in(buffer[begin[which] : begin[which] + size[which]].tobytes())
        pairs.append(np.uint64(place[which]) << _HALF | registers.astype(np.uint64))
    if len(pairs) == 1:
        return pairs[0], crowded
    together = np.concatenate(pairs)
    together.sort(kind="stable")  # runs that are in order
    return together, crowded


def _before(size: Integers, row: Integers) -> Integers:
    """What lies before each bucket's users, of its own row: of sizes [8, 4, 4] in rows [0, 0, 1] [0, 8, 0]."""
    before = starts(size)[:-1]
    return before - before[edges(row)[:-1]][np.cumsum(begins(row)) - 1] if len(row) else before
