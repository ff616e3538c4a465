"""What was imported, and from which version of raw on it is there: the document `imports/known`.

Imported rows were never in the log, so the speed view knows nothing of them: until a version is published that has
counted them, answers to ranges that they touch cannot be exact, and say so. A version has an import when it was counted
from raw rows that hold all of it, and its hours are sealed.

It is written before the commit that it is about, so that no answer calls itself exact in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final

import msgspec

from tallymark.buckets import TimeRange
from tallymark.documents.document import About, Document
from tallymark.documents.publication import Publication
from tallymark.store import ViewStore, change_document

__all__ = ["DOCUMENT", "Import", "Imports", "Span", "known_imports", "merged", "note_import"]

DOCUMENT: Final = "imports/known"
_MOST_SPANS: Final = 100
_MOST_IMPORTS: Final = 10

Span = tuple[int, int]
"""[start, end) in epoch minutes, on the hour."""


class Import(msgspec.Struct, frozen=True, kw_only=True):
    """One run of `tallymark import`, or several older ones together.

    `rows` occurred in `spans`, and are in raw from `raw_version` on. `taken_before`: a version that has counted what
    was taken before it can have them.
    """

    name: str
    begun_at: datetime
    taken_before: datetime
    spans: list[Span]
    rows: int
    raw_version: int

    def touches(self, within: TimeRange) -> bool:
        return any(start < within.end and end > within.start for start, end in self.spans)

    def is_in(self, at: Publication) -> bool:
        """Whether that version has counted all of it."""
        seen = at.counted_until is not None and at.counted_until >= self.taken_before
        return seen and at.raw_version >= self.raw_version and at.boundary >= self.spans[-1][1]


class Imports(Document, frozen=True, kw_only=True):
    """In the order in which they began."""

    ABOUT = About(
        kind=DOCUMENT,
        touches="answers, which say what is imported and not counted, and audits, which leave those hours out. Nothing "
        "that is counted is lost",
        without="remove it: answers are right again once `tallymark recompute` has run, and audits will report hours "
        "with imported events as missing in the speed view",
    )

    imports: tuple[Import, ...] = ()

    def pending(self, within: TimeRange, at: Publication) -> list[Import]:
        """Those that touch the range and are not all in that version."""
        return [one for one in self.imports if one.touches(within) and not one.is_in(at)]

    def holds(self, hour: int) -> bool:
        """Whether rows were imported into the hour that starts at that epoch minute."""
        return any(start <= hour < end for one in self.imports for start, end in one.spans)

    @classmethod
    @lru_cache(maxsize=4)
    def of(cls, stored: bytes | None) -> Imports:
        """Each request meets the same document again."""
        return cls.found(stored, DOCUMENT) or cls()


def known_imports(store: ViewStore) -> Imports:
    return Imports.of(store.read_document(DOCUMENT))


def note_import(store: ViewStore, new: Import) -> None:
    """Put it in the place of what is known of it, by name, or after what is known."""

    def noted(stored: bytes | None) -> bytes:
        known = [one for one in Imports.of(stored).imports if one.name != new.name]
        while len(known) >= _MOST_IMPORTS:
            known[:2] = [_together(*known[:2])]
        return Imports(imports=(*known, new)).to_json()

    change_document(store, DOCUMENT, noted)


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same, in order and without overlaps; of very many, those with the least between them become one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and joined[-1][1] >= start:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    gaps = sorted((after[0] - before[1], after[0]) for before, after in pairwise(joined))
    closed = {start for _, start in gaps[: max(0, len(joined) - _MOST_SPANS)]}
    return list(_closed(joined, closed))


def _closed(spans: list[Span], closed: set[int]) -> Iterator[Span]:
    begun, last = None, 0
    for start, end in spans:
        if begun is not None and start not in closed:
            yield begun, last
            begun = None
        begun = start if begun is None else begun
        last = end
    if begun is not None:
        yield begun, last


def _together(one: Import, other: Import) -> Import:
    return Import(
        name=other.name,
        begun_at=one.begun_at,
        taken_before=max(one.taken_before, other.taken_before),
        spans=merged([*one.spans, *other.spans]),
        rows=one.rows + other.rows,
        raw_version=max(one.raw_version, other.raw_version),
    )
