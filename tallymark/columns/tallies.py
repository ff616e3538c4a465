"""Many tallies of one grain in columns: grouped, added up, rolled up to coarser grains.

They lie by key (a video and type, numbered in the order of their rows) and start. Sorting is all the work: what belongs
together then lies side by side, and one pass adds it up.

A tally of no event says that its bucket was counted and holds nothing. Its row is written all the same, so that an
older row does not shine through. Sums are exact: where 64 bits might not do, they are Python's integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tallymark.buckets import Grain
from tallymark.columns.keys import Keys
from tallymark.columns.ragged import Integers, Words, begins, starts
from tallymark.columns.users import NOBODY, slots_of
from tallymark.instants import DAY, Minute
from tallymark.rows import MOST_COUPONS

__all__ = ["Tallies", "floors"]

Pairs = Words
_HALF: Final = np.uint64(32)
_LOW_HALF: Final = np.uint64((1 << 32) - 1)
_MOST, _LEAST = np.iinfo(np.int64).max, np.iinfo(np.int64).min
_VALUE_SHIFT: Final = np.uint64(26)
_SLOT_SHIFT: Final = np.uint64(6)
_VALUES: Final = np.uint64(63)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tallies:
    """Columns of equal length, sorted by `key` and `start` (epoch minutes), which are unique together.

    `total`, the sums, are int64 or Python's integers; `low` and `high` are 0 where `count` is. `users` are the pairs of
    a place in these columns and a coupon, as place · 2^32 + coupon, sorted; `crowded` says where users are so many
    that of each register only the largest coupon was kept.
    """

    grain: Grain
    keys: Keys
    key: Integers
    start: Integers
    count: Integers
    total: npt.NDArray[Any]
    low: Integers
    high: Integers
    users: Pairs
    crowded: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.key)

    @property
    def events(self) -> int:
        return int(self.count.sum())

    @classmethod
    def of_events(
        cls,
        keys: Keys,
        *,
        key: Integers,
        minute: Integers,
        value: Integers,
        coupon: npt.NDArray[np.uint32],
        counts: npt.NDArray[np.bool_],
    ) -> Tallies:
        """The MINUTE tallies of events, a row each; where `counts` is False, nothing but its bucket is counted."""
        ones = counts.astype(np.int64)
        (seen,) = np.nonzero(counts & (coupon != NOBODY))
        return _grouped(
            Grain.MINUTE,
            keys,
            key=key,
            start=minute,
            count=ones,
            total=np.where(counts, value, 0),
            low=value,
            high=value,
            users=_pairs(seen, coupon[seen]),
            crowded=np.zeros(len(key), dtype=np.bool_),
        )

    @classmethod
    def nothing(cls, grain: Grain, keys: Keys, *, key: Integers, start: Integers) -> Tallies:
        """Tallies of no event."""
        none = np.zeros(len(key), dtype=np.int64)
        return _grouped(
            grain,
            keys,
            key=key,
            start=start,
            count=none,
            total=none,
            low=none,
            high=none,
            users=np.empty(0, dtype=np.uint64),
            crowded=np.zeros(len(key), dtype=np.bool_),
        )

    @classmethod
    def added(cls, parts: Sequence[Tallies]) -> Tallies:
        """The sum of at least one part, all of one grain."""
        if len(parts) == 1:
            return parts[0]
        keys = Keys.all([part.keys for part in parts])
        firsts = np.cumsum([0, *(len(part) for part in parts)])
        return _grouped(
            parts[0].grain,
            keys,
            key=np.concatenate([keys.of(part.keys)[part.key] for part in parts]),
            start=np.concatenate([part.start for part in parts]),
            count=np.concatenate([part.count for part in parts]),
            total=np.concatenate([part.total for part in parts]),
            low=np.concatenate([part.low for part in parts]),
            high=np.concatenate([part.high for part in parts]),
            users=np.concatenate(
                [part.users + (np.uint64(first) << _HALF) for part, first in zip(parts, firsts, strict=False)]
            ),
            crowded=np.concatenate([part.crowded for part in parts]),
        )

    def rolled_up(self, grain: Grain) -> Tallies:
        """The same in buckets of a coarser grain."""
        return _grouped(
            grain,
            self.keys,
            key=self.key,
            start=floors(self.start, grain),
            count=self.count,
            total=self.total,
            low=self.low,
            high=self.high,
            users=self.users,
            crowded=self.crowded,
        )

    def where(self, chosen: npt.NDArray[np.bool_]) -> Tallies:
        """Those that are chosen."""
        places = np.cumsum(chosen) - 1
        owner = (self.users >> _HALF).astype(np.int64)
        kept = chosen[owner]
        columns = {name: getattr(self, name)[chosen] for name in (*_COLUMNS, "crowded")}
        users = _pairs(places[owner[kept]], self.users[kept] & _LOW_HALF)
        return Tallies(grain=self.grain, keys=self.keys, users=users, **columns)

    def without(self, others: Tallies) -> Tallies:
        """Those whose bucket and key the others do not have."""
        keys = Keys.all([self.keys, others.keys])
        mine, theirs = (keys.of(some.keys)[some.key] << 32 | some.start for some in (self, others))
        return self.where(~np.isin(mine, theirs))

    def coupons(self) -> tuple[Integers, npt.NDArray[np.uint32]]:
        """(first, coupons): the users of place n are coupons[first[n] : first[n + 1]]."""
        owner = (self.users >> _HALF).astype(np.int64)
        first = starts(np.bincount(owner, minlength=len(self)))
        return first, (self.users & _LOW_HALF).astype(np.uint32)


_COLUMNS: Final = ("key", "start", "count", "total", "low", "high")


def floors(starts: Integers, grain: Grain) -> Integers:
    """The start of the bucket of `grain` that holds each of `starts`."""
    if grain is not Grain.MONTH:
        length = (1, 60, DAY)[grain]
        return starts - starts % length
    days, which = np.unique(starts // DAY, return_inverse=True)
    return np.array([grain.floor(Minute(int(day) * DAY)) for day in days], dtype=np.int64)[which]


def _grouped(
    grain: Grain,
    keys: Keys,
    *,
    key: Integers,
    start: Integers,
    count: Integers,
    total: npt.NDArray[Any],
    low: Integers,
    high: Integers,
    users: Pairs,
    crowded: npt.NDArray[np.bool_],
) -> Tallies:
    """The columns in any order, those of one key and start added up; `users` by place in the columns that are given."""
    where = key << 32 | start
    in_order = bool(np.all(where[1:] >= where[:-1]))
    order = slice(None) if in_order else np.argsort(where)
    where = where[order]
    new = begins(where)
    (first,) = np.nonzero(new)
    group = np.empty(len(where), dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    counts = count[order]
    filled = counts > 0
    added = _per_group(first, np.add.reduceat)
    sums = added(counts)
    some = sums > 0
    lows = _per_group(first, np.minimum.reduceat)(np.where(filled, low[order], _MOST))
    highs = _per_group(first, np.maximum.reduceat)(np.where(filled, high[order], _LEAST))
    pairs, many = _users(users, group, len(first), crowded)
    return Tallies(
        grain=grain,
        keys=keys,
        key=where[first] >> 32,
        start=where[first] & (1 << 32) - 1,
        count=sums,
        total=added(_wide_enough(total, first)[order]),
        low=np.where(some, lows, 0),
        high=np.where(some, highs, 0),
        users=pairs,
        crowded=many,
    )


def _per_group(
    first: Integers, reduced: Callable[[npt.NDArray[Any], Integers], npt.NDArray[Any]]
) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    return lambda column: reduced(column, first) if len(first) else column


def _wide_enough(total: npt.NDArray[Any], first: Integers) -> npt.NDArray[Any]:
    """The same numbers, as Python's integers where a group's sum might not fit into 64 bits."""
    if total.dtype == object or not len(total):
        return total
    longest = int(np.diff(np.append(first, len(total))).max())
    furthest = max(abs(int(total.min())), abs(int(total.max())))
    return total if furthest * longest <= _MOST else total.astype(object)


def _users(
    users: Pairs, group: Integers, groups: int, crowded: npt.NDArray[np.bool_]
) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """The users by group, none twice; and which groups are crowded, of which each register keeps one coupon."""
    pairs = _distinct(_pairs(group[(users >> _HALF).astype(np.int64)], users & _LOW_HALF))
    owner = (pairs >> _HALF).astype(np.int64)
    many = np.bincount(owner, minlength=groups) > MOST_COUPONS
    many[group[crowded]] = True
    if not many.any():
        return pairs, many
    in_crowd = many[owner]
    crowd = pairs[in_crowd]
    coupons = (crowd & _LOW_HALF).astype(np.uint32)
    # by group, register and value (6 bits): the last one of each register is its largest
    ranked = owner[in_crowd].astype(np.uint64) << np.uint64(18)
    ranked |= slots_of(coupons).astype(np.uint64) << _SLOT_SHIFT | (crowd & _LOW_HALF) >> _VALUE_SHIFT
    ranked.sort()
    register = ranked >> _SLOT_SHIFT
    largest = ranked[np.append(register[1:] != register[:-1], True)]
    kept = (largest & _VALUES) << _VALUE_SHIFT | largest >> _SLOT_SHIFT & np.uint64(0xFFF)
    together = np.concatenate([pairs[~in_crowd], largest >> np.uint64(18) << _HALF | kept])
    together.sort(kind="stable")  # two runs that are in order
    return together, many


def _pairs(places: Integers, coupons: npt.NDArray[Any]) -> Pairs:
    return places.astype(np.uint64) << _HALF | coupons.astype(np.uint64)


def _distinct(pairs: Pairs) -> Pairs:
    ordered = pairs if np.all(pairs[1:] >= pairs[:-1]) else np.sort(pairs)
    return ordered[begins(ordered)]
