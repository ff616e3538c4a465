"""The count, written once: what one bucket holds, and how two of them add up.

Tallies are a commutative monoid: `ZERO` is the identity and `+` is associative and commutative, exact in everything
but the sketch. So partial counts may be merged in any order and grouping: by Spark's executors, by the recount's
roll-up from hours to months, and by an answer that spans both views. (The idea is Summingbird's: Boykin et al.,
"Summingbird: A Framework for Integrating Batch and Online MapReduce Computations", VLDB 2014.)
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

from tallymark.event import Event
from tallymark.sketch import Sketch, Uniques

__all__ = ["ZERO", "Tally"]

_FORMAT: Final = 1


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
        """Stored form: format byte, varint count, then (unless it is 0) zigzag sum, zigzag min, varint max - min,
        and the sketch to the end. One view of value 1 by nobody is 5 bytes: 01 01 02 02 00."""
        out = bytearray((_FORMAT,))
        _put_varint(out, self.count)
        if self.min is not None and self.max is not None:
            _put_varint(out, _zigzag(self.sum))
            _put_varint(out, _zigzag(self.min))
            _put_varint(out, self.max - self.min)
            out += self.users.to_bytes() if self.users else b""
        return bytes(out)

    @classmethod
    def from_bytes(cls, stored: bytes) -> Tally:
        """Raises ValueError for a format this code does not know."""
        if not stored or stored[0] != _FORMAT:
            raise ValueError(f"a tally stored in format {stored[:1].hex() or 'nothing'}; this code reads {_FORMAT}")
        # one loop, no calls: an answer over ten years decodes hundreds of these
        numbers: list[int] = []
        number = shift = 0
        at = 1
        for byte in islice(stored, 1, None):
            at += 1
            if byte > 0x7F:
                number |= (byte & 0x7F) << shift
                shift += 7
                continue
            numbers.append(number | byte << shift)
            if len(numbers) == 4:
                break
            number = shift = 0
        if len(numbers) < 4:
            if numbers == [0]:
                return ZERO
            raise ValueError("a tally that ends in the middle of a number: the stored value is cut short")
        smallest = _unzigzag(numbers[2])
        users = Sketch(stored[at:]) if at < len(stored) else None
        return cls(numbers[0], _unzigzag(numbers[1]), smallest, smallest + numbers[3], users)


ZERO: Final = Tally(0, 0, None, None)


def _zigzag(number: int) -> int:
    """0, -1, 1, -2 … → 0, 1, 2, 3 …, so that small negative numbers stay short."""
    return number << 1 if number >= 0 else ((-number) << 1) - 1


def _unzigzag(code: int) -> int:
    return code >> 1 if code & 1 == 0 else -((code + 1) >> 1)


def _put_varint(out: bytearray, number: int) -> None:
    """Seven bits a byte, least significant first, the high bit says that more follow (as in Protocol Buffers)."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
