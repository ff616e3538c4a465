"""What is known of events that never arrived: the document `coverage/current`; `coverage/state` is what it is made of.

Producers number their events (`producer_id`, `seq`), so a number that is missing between two others is an event that
was made and is not in raw. Nobody knows which video it was of; it is taken to have occurred between the two that
surround it, in whole hours: that is a hole. Of what carries no numbers, only a producer that falls silent is noticed.

Worked example: holes [10:00, 11:00) with 3 missing and [10:00, 14:00) with 2. Of a range from 11:30 to 12:00 at most
2 events are missing, of one from 10:59 at most 5.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from tallymark.buckets import TimeRange
from tallymark.documents.document import About, Document, reading, write_newer
from tallymark.instants import minute_of
from tallymark.store import ViewStore

__all__ = [
    "DOCUMENT",
    "Coverage",
    "Hole",
    "Known",
    "Share",
    "Silence",
    "known",
    "missing_before",
    "read_state",
    "reading_state",
    "renew_known",
    "swap_state",
]

DOCUMENT: Final = "coverage/current"
_STATE: Final = "coverage/state"


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """`missing` events that occurred, as far as can be told, in [start, end), epoch minutes on the hour."""

    start: int
    end: int
    missing: int


class Silence(msgspec.Struct, frozen=True, array_like=True):
    """Nothing of `producer` is known to have occurred since epoch minute `since`, although it is expected."""

    producer: str
    since: int


class Share(msgspec.Struct, frozen=True, array_like=True):
    """Of `rows` raw rows that occurred in [start, end), `numbered` carry a producer and a number."""

    start: int
    end: int
    rows: int
    numbered: int


class Known(Document, frozen=True, kw_only=True):
    """All that the log took before `checked_until` was looked through."""

    ABOUT = About(
        kind=DOCUMENT,
        touches="every answer, which states the coverage. Nothing that is counted is lost",
        without="remove it: the next audit or recompute writes it again",
    )

    checked_until: datetime
    holes: list[Hole] = msgspec.field(default_factory=list)
    silent: list[Silence] = msgspec.field(default_factory=list)
    share: list[Share] = msgspec.field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many events are, wherever they may have occurred."""
        return sum(hole.missing for hole in self.holes)

    def missing_before(self, minute: int) -> int:
        """How many events are missing that may have occurred before epoch minute `minute`."""
        return sum(hole.missing for hole in self.holes if hole.start < minute)


class Within(NamedTuple):
    """Of a range of time: at most how many events are `missing`, how many producers are `silent`, and which part of
    what arrived is `numbered` (None: nothing arrived)."""

    missing: int
    silent: int
    numbered: float | None


class Coverage:
    """A `Known` that is asked about many ranges, each in logarithmic time. Shared by threads."""

    def __init__(self, known: Known) -> None:
        self.checked_until = known.checked_until
        self._missing = _Sums((hole.start, hole.end, hole.missing) for hole in known.holes)
        self._rows = _Sums((share.start, share.end, share.rows) for share in known.share)
        self._numbered = _Sums((share.start, share.end, share.numbered) for share in known.share)
        self._silent = sorted(silence.since for silence in known.silent)

    def within(self, within: TimeRange) -> Within:
        rows = self._rows.overlapping(within)
        return Within(
            missing=self._missing.overlapping(within),
            silent=bisect_left(self._silent, within.end),
            numbered=self._numbered.overlapping(within) / rows if rows else None,
        )


class _Sums:
    """Amounts over [start, end): of a range, those that begin before it ends, less those that end before it begins."""

    def __init__(self, amounts: Iterable[tuple[int, int, int]]) -> None:
        given = list(amounts)
        self._starts, self._begun = _running((start, amount) for start, _, amount in given)
        self._ends, self._over = _running((end, amount) for _, end, amount in given)

    def overlapping(self, within: TimeRange) -> int:
        if within.empty:
            return 0
        begun = self._begun[bisect_left(self._starts, within.end)]
        return begun - self._over[bisect_right(self._ends, within.start)]


def _running(amounts: Iterable[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """The places in order, and the sum of the amounts before each of them and before the end."""
    ordered = sorted(amounts)
    return [at for at, _ in ordered], list(accumulate((amount for _, amount in ordered), initial=0))


def known(store: ViewStore) -> Known | None:
    """None before anybody has looked."""
    return Known.read(store, DOCUMENT)


def renew_known(store: ViewStore, known: Known) -> None:
    """Let answers go by it, unless somebody has looked further meanwhile."""
    write_newer(store, DOCUMENT, known, by=lambda each: each.checked_until)


def read_state(store: ViewStore) -> bytes | None:
    """What the last look carries on to the next, in its own form."""
    return store.read_document(_STATE)


def reading_state() -> AbstractContextManager[None]:
    """To decode in it what `read_state` returned: raises Damaged when that is not what was written."""
    return reading(
        About(
            kind=_STATE,
            touches="recounts and audits, which first look for events that never arrived. Answers go on as they are",
            without="remove it: the next recompute or audit looks through all raw events again and writes it",
        )
    )


def swap_state(store: ViewStore, stored: bytes | None, new: bytes) -> bool:
    """Put `new` in the place of what `read_state` returned; False, and no change, when another look has."""
    return store.swap_document(_STATE, stored, new)


def missing_before(store: ViewStore, at: datetime) -> int | None:
    """How many events are known to be missing that may have occurred before `at`; None before anybody has looked."""
    found = known(store)
    return None if found is None else found.missing_before(minute_of(at))
