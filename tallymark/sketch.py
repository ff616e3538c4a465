"""Unique users, approximately: an Apache DataSketches HyperLogLog with lg_k 12 (ADR 6).

Its bytes are interchangeable with Spark's `hll_sketch_agg(user_id, 12)`. The relative standard error is about
1.04 / sqrt(2^12) = 1.6 % (Flajolet et al. 2007); up to 384 users the sketch keeps a coupon for each of them and is all
but exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datasketches import hll_sketch

__all__ = ["LG_K", "Sketch", "Uniques"]

LG_K: Final = 12
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

    __slots__ = ("_parts",)

    def __init__(self, *parts: bytes) -> None:
        """`parts`: serialized sketches whose union this is."""
        self._parts = parts

    @classmethod
    def of(cls, users: Iterable[str]) -> Sketch | None:
        """The sketch of `users`, or None of nobody."""
        from datasketches import hll_sketch, tgt_hll_type

        sketch = hll_sketch(LG_K, tgt_hll_type.HLL_8)
        for user in users:
            sketch.update(user)
        return None if sketch.is_empty() else cls(sketch.serialize_compact())

    @classmethod
    def union(cls, sketches: Iterable[Sketch]) -> Sketch | None:
        parts = [part for sketch in sketches for part in sketch._parts]
        return cls(*parts) if parts else None

    def __add__(self, other: Sketch) -> Sketch:
        return Sketch(*self._parts, *other._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"<Sketch of about {self.estimate().value:.0f} users>"

    def to_bytes(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else bytes(self._merged().serialize_compact())

    def estimate(self) -> Uniques:
        merged = self._merged()
        lower = merged.get_lower_bound(_STANDARD_DEVIATIONS)
        upper = merged.get_upper_bound(_STANDARD_DEVIATIONS)
        return Uniques(merged.get_estimate(), lower, upper)

    def _merged(self) -> hll_sketch:
        from datasketches import hll_union, tgt_hll_type

        if len(self._parts) == 1:
            return _read(self._parts[0])
        union = hll_union(LG_K)
        for part in self._parts:
            union.update(_read(part))
        return union.get_result(tgt_hll_type.HLL_8)


def _read(stored: bytes) -> hll_sketch:
    from datasketches import hll_sketch

    try:
        return hll_sketch.deserialize(stored)
    except (IndexError, ValueError, RuntimeError) as error:
        raise ValueError(f"bytes that are no sketch, or only the start of one: {error}") from error
