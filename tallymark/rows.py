"""A row as the batch view stores it: the tallies of all its buckets packed into one value (ADR 49).

A recount writes rows whole: what is not in the newest row is not there, whatever older rows held. Under the same key,
in a value of its own, lie the users, which a count does not read.

    numbers   form (1), users? (1), widths (2), n (1), then of the n buckets, by offset:
              offset (1 each) · count − 1 · min · max − min · sum − min × count; crc32 (4)
    users     form (1), n (1), of the n buckets that have users: offset (1 each), size (2 each), then those bytes; crc32

Each of the four columns of numbers has the width of its largest value: 0 (all are zero), 1, 2, 4, 8 or 16 bytes, by
three bits of `widths`. None is negative but min, which is stored as 2m or, below zero, −2m − 1 (zigzag). Integers are
little-endian. The users of a bucket are coupons (`tallymark.sketch`) in order, as long as they are few; of more than
`MOST_COUPONS`, and therefore longer, a sketch.

Worked example: two views of value 1 at offset 0, one at offset 34: 04 00 0100 02 · 00 22 · 01 00 · 02 02 and the crc.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from tallymark.cells import Cell, place, row_key, row_of
from tallymark.errors import Damaged
from tallymark.instants import Minute, instant
from tallymark.sketch import COUPON_BYTES, Sketch
from tallymark.tally import Tally

__all__ = [
    "EMPTY",
    "FORM",
    "MOST_COUPONS",
    "NUMBERS_HEAD",
    "USERS_HEAD",
    "WIDTHS",
    "PackedRow",
    "naming",
    "pack",
    "packed_numbers",
    "sealed",
    "tallies_in",
    "unpack",
    "verify",
]

FORM: Final = 4
_FORM: Final = bytes((FORM,))
MOST_COUPONS: Final = 512  # 2,048 bytes; a sketch has at least 2,088
WIDTHS: Final = (0, 1, 2, 4, 8, 16)
"""Bytes of an integer, by the three bits that say so."""
NUMBERS_HEAD: Final = struct.Struct("<BBHB")
USERS_HEAD: Final = struct.Struct("<BB")
"""What the two values of a row begin with."""
_CRC: Final = struct.Struct("<I")
_LETTERS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


class PackedRow(NamedTuple):
    """`users`: None of no user, or when they were not asked for."""

    key: bytes
    numbers: bytes
    users: bytes | None = None


def pack(cells: Iterable[Cell]) -> list[PackedRow]:
    """The rows of `cells`, which must be all that those rows hold. Recounts pack columns: see `tallymark.columns`."""
    rows: dict[bytes, dict[int, Tally]] = {}
    for cell in cells:
        start, offset = place(cell.bucket)
        row = rows.setdefault(row_key(cell.video_id, cell.type, cell.bucket.grain, start), {})
        if cell.tally.count:
            row[offset] = cell.tally
    return [
        PackedRow(key, packed_numbers(row, users=any(tally.users for tally in row.values())), _users(row))
        for key, row in rows.items()
    ]


def unpack(numbers: bytes, users: bytes | None = None, *, first: int = 0, last: int = 255) -> list[tuple[int, Tally]]:
    """(offset, tally) of the buckets from offset `first` to `last`, in order; with their users, when those are given.

    Raises ValueError for bytes that are no such value.
    """
    verify(numbers)
    _, has_users, widths, n = NUMBERS_HEAD.unpack_from(numbers)
    offsets = numbers[NUMBERS_HEAD.size : NUMBERS_HEAD.size + n]
    at = NUMBERS_HEAD.size + n
    columns: list[Sequence[int]] = []
    for shift in (0, 3, 6, 9):
        width = WIDTHS[widths >> shift & 0b111]
        columns.append(_integers(numbers, at, n, width))
        at += n * width
    of = _unpack_users(users) if users is not None and has_users else {}
    found = []
    for offset, count, low, high, total in zip(offsets, *columns, strict=True):
        if first <= offset <= last:
            least = low >> 1 ^ -(low & 1)
            tally = Tally(count + 1, total + least * (count + 1), least, least + high, of.get(offset))
            found.append((offset, tally))
    return found


def tallies_in(row: PackedRow, *, first: int = 0, last: int = 255) -> list[tuple[int, Tally]]:
    """As `unpack`, of a row as a store has it. Raises Damaged, which says whose row it is."""
    with naming(row.key):
        return unpack(row.numbers, row.users, first=first, last=last)


@contextmanager
def naming(key: bytes) -> Iterator[None]:
    """What is raised inside about the bytes of a row becomes Damaged, which says whose row it is."""
    try:
        yield
    except ValueError as error:
        at = row_of(key)
        since = f"{instant(Minute(at.start)):%Y-%m-%d %H:%M} UTC"
        raise Damaged(
            f"the row of {at.video_id!r}, {at.type}, {at.grain.name.lower()}s from {since} in the batch view cannot be "
            f"read: {error}",
            touches="answers about that video and type in that time; all others go on",
            remedy="count everything into a new store (`tallymark recompute --into STORE`) and go on with that",
        ) from error


def packed_numbers(row: Mapping[int, Tally], *, users: bool) -> bytes:
    """The numbers of a row's tallies by offset; `users`: whether any are stored beside them."""
    columns: list[list[int]] = [[], [], [], []]
    for _, tally in sorted(row.items()):
        assert tally.min is not None
        assert tally.max is not None
        low = tally.min
        values = (tally.count - 1, low << 1 if low >= 0 else -low * 2 - 1, tally.max - low)
        for column, value in zip(columns, (*values, tally.sum - low * tally.count), strict=True):
            column.append(value)
    codes = [_code(max(column, default=0)) for column in columns]
    widths = sum(code << 3 * n for n, code in enumerate(codes))
    body = NUMBERS_HEAD.pack(FORM, users, widths, len(row)) + bytes(sorted(row))
    for column, code in zip(columns, codes, strict=True):
        body += b"".join(value.to_bytes(WIDTHS[code], "little") for value in column if code)
    return sealed(body)


def _users(row: Mapping[int, Tally]) -> bytes | None:
    stored = {offset: _stored_users(tally.users) for offset, tally in sorted(row.items()) if tally.users}
    if not stored:
        return None
    sizes = struct.pack(f"<{len(stored)}H", *map(len, stored.values()))
    return sealed(USERS_HEAD.pack(FORM, len(stored)) + bytes(stored) + sizes + b"".join(stored.values()))


def _stored_users(users: Sketch) -> bytes:
    coupons = users.coupons()
    return users.smaller() if coupons is None else coupons


def _unpack_users(users: bytes) -> dict[int, Sketch]:
    verify(users)
    _, n = USERS_HEAD.unpack_from(users)
    offsets = users[USERS_HEAD.size : USERS_HEAD.size + n]
    at = USERS_HEAD.size + n
    ends = accumulate(struct.unpack_from(f"<{n}H", users, at), initial=at + 2 * n)
    return {offset: _sketch(users[start:end]) for offset, (start, end) in zip(offsets, pairwise(ends), strict=True)}


def _sketch(stored: bytes) -> Sketch:
    return Sketch(stored) if len(stored) > MOST_COUPONS * COUPON_BYTES else Sketch.of_coupons(stored)


def _integers(stored: bytes, at: int, n: int, width: int) -> Sequence[int]:
    if not width:
        return (0,) * n
    if letter := _LETTERS.get(width):
        return struct.unpack_from(f"<{n}{letter}", stored, at)
    return [int.from_bytes(stored[start : start + width], "little") for start in range(at, at + n * width, width)]


def _code(largest: int) -> int:
    """The three bits for a column whose largest value this is."""
    return next(code for code, width in enumerate(WIDTHS) if largest < 1 << 8 * width)


def sealed(body: bytes) -> bytes:
    """A value as it is stored: with its checksum."""
    return body + _CRC.pack(zlib.crc32(body))


def verify(stored: bytes) -> None:
    """Raises ValueError when a stored value is not as it was put, or has another form."""
    if stored[:1] != _FORM:
        raise ValueError(f"a row stored in form {stored[:1].hex() or 'nothing'}; this code reads {FORM:02x}")
    if zlib.crc32(stored[: -_CRC.size]) != int.from_bytes(stored[-_CRC.size :], "little"):
        raise ValueError("a stored row that was cut short, or changed where it lies: its checksum is another one")


EMPTY: Final = packed_numbers({}, users=False)
"""The numbers of a row in which nothing is left."""
