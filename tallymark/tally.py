"""The count, written once (ADR 2): what one bucket holds, and how two of them add up.

Tallies are a commutative monoid: `ZERO` is the identity and `+` is associative and commutative, exact in everything
but the sketch. So partial counts may be merged in any order and grouping: by Spark's executors, by the recount's
roll-up from hours to months, and by an answer that spans both views. (The idea is Summingbird's: Boykin et al.,
"Summingbird: A Framework for Integrating Batch and Online MapReduce Computations", VLDB 2014.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tallymark.event import Event
from tallymark.sketch import Sketch, Uniques

__all__ = ["ZERO", "Tally"]

_FORMAT: Final = b"\x02"


class Tally(msgspec.Struct, frozen=True, gc=False):
    """`count` events with `sum`, `min` and `max` of their values, and a sketch of their users (None: no user known).

    `min` and `max` are None exactly when `count` is 0.
    """

    count: int
    sum: int
    min: int | None
    max: int | None
    users: Sketch | None = None

    @classmethod
    def of(cls, event: Event) -> Tally:
        users = None if event.user_id is None else Sketch.of([event.user_id])
        return cls(1, event.value, event.value, event.value, users)

    @classmethod
    def total(cls, tallies: Iterable[Tally]) -> Tally:
        """The sum of `tallies` in one pass; equal to `sum(tallies, start=ZERO)`, with one merge of the sketches."""
        counted = [tally for tally in tallies if tally.count]
        if not counted:
            return ZERO
        return cls(
            count=sum(t.count for t in counted),
            sum=sum(t.sum for t in counted),
            min=min(t.min for t in counted if t.min is not None),
            max=max(t.max for t in counted if t.max is not None),
            users=Sketch.union(t.users for t in counted if t.users is not None),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally.total((self, other))

    @property
    def mean(self) -> float | None:
        return self.sum / self.count if self.count else None

    def uniques(self) -> Uniques:
        return self.users.estimate() if self.users else Uniques(0.0, 0.0, 0.0)

    def to_bytes(self) -> bytes:
        """Stored form of the numbers: a format byte, then MessagePack [count, sum, min, max]. One view of value 1 is
        six bytes: 02 94 01 01 01 01. Stores keep the sketch, which may be a thousand times as long, beside it: who
        asks for a count need not read it."""
        total = self.sum if -(2**63) <= self.sum < 2**64 else str(self.sum)
        return _FORMAT + _encode(_Numbers(self.count, total, self.min, self.max))

    @classmethod
    def from_bytes(cls, stored: bytes, users: bytes | None = None) -> Tally:
        """`users`: the bytes of the sketch, None of no user or when they do not matter. Raises ValueError for a format
        this code does not know."""
        if stored[:1] != _FORMAT:
            raise ValueError(
                f"a tally stored in format {stored[:1].hex() or 'nothing'}; this code reads {_FORMAT.hex()}"
            )
        try:
            numbers = _decode(stored[1:])
        except msgspec.DecodeError as error:
            raise ValueError(f"a stored tally that was cut short, or something else was put there: {error}") from error
        sketch = None if users is None else Sketch(users)
        return cls(numbers.count, int(numbers.sum), numbers.min, numbers.max, sketch)


class _Numbers(msgspec.Struct, array_like=True, gc=False):
    count: int
    sum: int | str  # its digits, past 64 bits
    min: int | None
    max: int | None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Numbers).decode
ZERO: Final = Tally(0, 0, None, None)
