"""Unique users, approximately: an Apache DataSketches HyperLogLog with lg_k 12 (ADR 6).

Its bytes are interchangeable with Spark's `hll_sketch_agg(user_id, 12)`. The relative standard error is about
1.04 / sqrt(2^12) = 1.6 % (Flajolet et al. 2007); up to 384 users the sketch keeps a coupon for each of them and is all
but exact.

A *coupon* is all that a sketch takes in of a user: four bytes, the low 26 bits of the first half of the user's
MurmurHash3 (128 bits, seed 9001) and, above them, one more than the zeros that its other half begins with. So a few
users are stored as their coupons alone, and the sketch is made when somebody asks (ADR 49).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datasketches import hll_sketch

__all__ = ["COUPON_BYTES", "LG_K", "Sketch", "Uniques"]

LG_K: Final = 12
COUPON_BYTES: Final = 4
_MOST_COUPONS: Final = 384  # that a sketch keeps as they are
# The stored form of a sketch of coupons, https://datasketches.apache.org/docs/HLL/HLL.html: integers of the preamble,
# version, family, lg_k, lg of the array, flags (compact), a count in a list, mode (set or list, of HLL_8); of a set its
# count. The coupons follow.
_LIST: Final = struct.Struct("<BBBBBBBB")
_SET: Final = struct.Struct("<BBBBBBBBi")
_LONGEST_LIST: Final = 7
_MODE: Final = 7  # which byte of a stored sketch, in its two low bits, says how it keeps users
_FLAGS: Final = 5
_NO_ORDER: Final = 16
_REGISTERS: Final = 40  # where they begin in a sketch of kind HLL_8
_STANDARD_DEVIATIONS: Final = 2  # the interval holds the truth in about 95 of 100 cases


class Uniques(NamedTuple):
    """How many different users, with the interval that holds the truth in about 95 of 100 cases."""

    value: float
    lower: float
    upper: float


class Sketch:
    """A set of users that remembers only how many there are. Immutable; `a + b` is the union.

    Merging is put off until somebody asks for the estimate or the bytes: an answer that only counts pays nothing.
    Then bytes that are no sketch raise ValueError.
    """

    __slots__ = ("_coupons", "_parts")

    def __init__(self, *parts: bytes, coupons: tuple[bytes, ...] = ()) -> None:
        """The union of `parts`, serialized sketches, and of `coupons`: four bytes for each user, little-endian."""
        self._parts = parts
        self._coupons = coupons

    @classmethod
    def of(cls, users: Iterable[str]) -> Sketch | None:
        """The sketch of `users`, or None of nobody."""
        from datasketches import hll_sketch, tgt_hll_type

        sketch = hll_sketch(LG_K, tgt_hll_type.HLL_8)
        for user in users:
            sketch.update(user)
        return None if sketch.is_empty() else cls(sketch.serialize_compact())

    @classmethod
    def of_coupons(cls, coupons: bytes) -> Sketch:
        """The sketch of at least one user. `coupons`: four bytes each, little-endian."""
        return cls(coupons=(coupons,))

    def smaller(self) -> bytes:
        """The stored form of many users in half the bytes: four bits a register (of kind HLL_4)."""
        from datasketches import hll_union, tgt_hll_type

        union = hll_union(LG_K)
        union.update(self._merged(alike=True))
        return bytes(union.get_result(tgt_hll_type.HLL_4).serialize_compact())

    @classmethod
    def union(cls, sketches: Iterable[Sketch]) -> Sketch | None:
        each = list(sketches)
        parts = (part for sketch in each for part in sketch._parts)
        return cls(*parts, coupons=tuple(some for sketch in each for some in sketch._coupons)) if each else None

    def __add__(self, other: Sketch) -> Sketch:
        return Sketch(*self._parts, *other._parts, coupons=self._coupons + other._coupons)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def __repr__(self) -> str:
        return f"<Sketch of about {self.estimate().value:.0f} users>"

    def to_bytes(self) -> bytes:
        parts = self._serialized()
        return parts[0] if len(parts) == 1 else bytes(self._merged().serialize_compact())

    def coupons(self) -> bytes | None:
        """Of all its users, in order; None when they are so many that the sketch does not keep them."""
        kept, content = self._content()
        return content if kept else None

    def registers(self) -> bytes:
        """The 4,096 registers, a byte each, of a sketch that keeps no coupons any more."""
        kept, content = self._content()
        if kept:
            raise ValueError("a sketch of few users has no registers")
        return content

    def estimate(self) -> Uniques:
        merged = self._merged()
        lower = merged.get_lower_bound(_STANDARD_DEVIATIONS)
        upper = merged.get_upper_bound(_STANDARD_DEVIATIONS)
        return Uniques(merged.get_estimate(), lower, upper)

    def _serialized(self) -> tuple[bytes, ...]:
        """All parts as sketches, as few as may be."""
        if not self._coupons:
            return self._parts
        joined = b"".join(self._coupons)
        distinct = set(memoryview(joined).cast("I"))
        if len(distinct) * COUPON_BYTES < len(joined):
            joined = struct.pack(f"{len(distinct)}I", *distinct)
        most = _MOST_COUPONS * COUPON_BYTES
        return *self._parts, *(_sketch_of(joined[first : first + most]) for first in range(0, len(joined), most))

    def _content(self) -> tuple[bool, bytes]:
        """(True, the coupons in order), or (False, the registers): whatever the sketch was made of, and how."""
        stored = bytes(self._merged(alike=True).serialize_compact())
        if stored[_MODE] & 0b11 < 2:
            coupons = memoryview(stored)[_SET.size if stored[_MODE] & 1 else _LIST.size :].cast("I")
            return True, struct.pack(f"<{len(coupons)}I", *sorted(coupons))
        return False, stored[_REGISTERS:]

    def _merged(self, *, alike: bool = False) -> hll_sketch:
        """`alike`: of the same kind, whatever kind its only part is."""
        from datasketches import hll_union, tgt_hll_type

        parts = self._serialized()
        if len(parts) == 1 and not alike:
            return _read(parts[0])
        union = hll_union(LG_K)
        for part in parts:
            union.update(_read(part))
        return _in_no_order(union.get_result(tgt_hll_type.HLL_8))


def _sketch_of(coupons: bytes) -> bytes:
    """The stored form of a sketch that keeps these, at most 384."""
    count = len(coupons) // COUPON_BYTES
    if count <= _LONGEST_LIST:
        return _LIST.pack(2, 1, 7, LG_K, 3, 8, count, 8) + coupons
    slots = max(5, (count * 4 // 3).bit_length())  # of which three quarters may be full
    return _SET.pack(3, 1, 7, LG_K, slots, 8, 0, 9, count) + coupons


def _in_no_order(merged: hll_sketch) -> hll_sketch:
    """The estimate of a sketch of many users may go by the order in which they came; that of a union must not."""
    stored = bytearray(merged.serialize_compact())
    if stored[_MODE] & 0b11 < 2:
        return merged
    stored[_FLAGS] |= _NO_ORDER
    return _read(bytes(stored))


def _read(stored: bytes) -> hll_sketch:
    from datasketches import hll_sketch

    try:
        return hll_sketch.deserialize(stored)
    except (IndexError, ValueError, RuntimeError) as error:
        raise ValueError(f"bytes that are no sketch, or only the start of one: {error}") from error
