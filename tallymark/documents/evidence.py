"""How far counts grow until they are exact, as the audit found it: the document `evidence/current`.

A count that is read now misses what has happened but not arrived, and what the speed view dropped. By the age of the
minute and the view that answers for it, the audit knows how many further events come per event that is seen (`speed`,
`batch`); and of reads like yours, how far the exact count lay from what that foretold (`above`) and how often the views
counted too much (`below`).

Worked example: 40 events seen in a minute class with 0.1 to come per event: 44 are expected. With `above` = 1.2 at most
44 + 1.2 × √45 = 52.05, so 53, in as many of 100 cases as `confidence` says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil, floor, sqrt
from typing import Final

import msgspec

from tallymark.documents.document import About, Document, write_newer
from tallymark.store import ViewStore

__all__ = ["AGES", "DOCUMENT", "Evidence", "Growth", "Part", "renew_evidence"]

DOCUMENT: Final = "evidence/current"
AGES: Final = (5, 15, 30, 60, 120, 240, 480, 1440, 2880)
"""Upper ends, in minutes, of the classes of age; what is older has a class of its own."""

Part = tuple[int, int]
"""A bucket that ended so many minutes ago (below 0: it has not ended), and how many events a view holds of it."""

_KEEPS: Final = timedelta(days=7)


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """Of one type, from `reads` reads of the past. Quantiles as the module describes; classes in the order of AGES."""

    reads: int
    speed: list[float]
    batch: list[float]
    above: float
    below: float

    def expected(self, *, batch: Iterable[Part], speed: Iterable[Part]) -> float | None:
        """How many events there will be, where the views hold these now; None when it lies beyond the evidence."""
        total = sum(count * (1 + self.batch[bisect_right(AGES, age)]) for age, count in batch)
        for age, count in speed:
            if age >= AGES[-1]:
                return None
            total += count * (1 + self.speed[bisect_right(AGES, age)])
        return total

    def interval(self, value: int, expected: float) -> tuple[int, int]:
        """The exact count lies in it, as often as the evidence's confidence says."""
        upper = ceil(expected + self.above * sqrt(expected + 1))
        return max(0, floor(value - self.below * (value + 1))), max(value, upper)


class Evidence(Document, frozen=True, kw_only=True):
    """`hours` that it rests on; while they are too few, `types` is empty and answers state no bounds of this kind."""

    ABOUT = About(
        kind=DOCUMENT,
        touches="every answer, which states its bounds. Nothing that is counted is lost",
        without="remove it: answers state no bounds until the next audit writes it again",
    )

    made_at: datetime
    hours: int
    needed: int
    confidence: float
    types: dict[str, Growth]

    def of(self, type: str, now: datetime) -> Growth | None:
        """None when there is none, or it is too old to speak for today."""
        return self.types.get(type) if now - self.made_at <= _KEEPS else None


def renew_evidence(store: ViewStore, evidence: Evidence) -> None:
    """Let answers go by this evidence, unless there is newer one."""
    write_newer(store, DOCUMENT, evidence, by=lambda each: each.made_at)
