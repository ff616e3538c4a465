"""Laws as reusable checks: each takes values, asserts, and says which law they broke.

Hypothesis finds the values (tests/support/strategies.py); a law knows nothing of where they come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import eq
from typing import TypeVar

from tallymark.sketch import Sketch
from tallymark.tally import Tally

T = TypeVar("T")
Same = Callable[[T, T], bool]


def monoid(values: tuple[T, T, T], *, zero: T, same: Same[T] = eq) -> None:
    """`+` is associative and commutative, and `zero` changes nothing."""
    a, b, c = values
    assert same((a + b) + c, a + (b + c)), f"not associative: {a}, {b}, {c}"
    assert same(a + b, b + a), f"not commutative: {a}, {b}"
    assert same(a + zero, a), f"{zero} on the right changes {a}"
    assert same(zero + a, a), f"{zero} on the left changes {a}"


def total_is_sum(values: list[T], *, total: Callable[[Iterable[T]], T], zero: T, same: Same[T] = eq) -> None:
    """Adding all at once is adding one by one, in either direction."""
    assert same(total(values), sum(values, start=zero))
    assert same(total(reversed(values)), total(values))


def round_trip(value: T, *, there: Callable[[T], bytes], back: Callable[[bytes], T], same: Same[T] = eq) -> None:
    """What is stored is what is read, and storing it again gives the same bytes."""
    stored = there(value)
    assert same(back(stored), value)
    assert there(back(stored)) == stored


def every_cut_raises(stored: bytes, back: Callable[[bytes], object], *, shortest: int = 0) -> None:
    """No proper prefix of `stored` (of at least `shortest` bytes) is taken for a whole value."""
    for end in range(shortest, len(stored)):
        try:
            found = back(stored[:end])
        except ValueError:
            continue
        raise AssertionError(f"the first {end} of {len(stored)} bytes were read as {found!r}")


def order_preserved(values: Iterable[T], *, key: Callable[[T], bytes]) -> None:
    """Values that rise have keys that rise, byte by byte."""
    in_order = sorted(set(values))
    keys = [key(value) for value in in_order]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys), "two values share a key"


def same_users(a: Sketch | None, b: Sketch | None) -> bool:
    """The two sketches may have seen the same users: their intervals meet."""
    if a is None or b is None:
        return a is b
    one, other = a.estimate(), b.estimate()
    return one.lower <= other.upper and other.lower <= one.upper


def same_tally(a: Tally, b: Tally) -> bool:
    """Equal in everything that is exact, and in the users within the sketch's error."""
    return (a.count, a.sum, a.min, a.max) == (b.count, b.sum, b.min, b.max) and same_users(a.users, b.users)
