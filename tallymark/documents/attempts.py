"""The record of every recount that was tried: its plan, written before any of its cells, and what became of it.

Attempts are numbered 1, 2, 3 … and the number is the version of the cells that the attempt writes. A reader of
version 7 sees cells of attempts up to 7, also of those that crashed; therefore the plan of an attempt contains the
pairs of every unpublished attempt before it, back to the published version. `put_on_record` sees to it that none is
missed: it succeeds only if no other attempt was begun since the attempts were listed.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final

import msgspec

from tallymark.documents.document import About, Document
from tallymark.instants import DAY, Minute, instant, minute_of
from tallymark.store import ViewStore

__all__ = [
    "AttemptRecord",
    "Check",
    "Days",
    "State",
    "as_pairs",
    "attempt",
    "hours_of",
    "names_before",
    "newer_than",
    "newest",
    "put_on_record",
    "save",
]

_PREFIX: Final = "attempts/"
Pairs = dict[str, dict[int, list[int]]]
"""{day: {shard: [hours of the day]}}, days as 2026-01-31: how (hour, shard) pairs are put on record."""


class State(StrEnum):
    PLANNED = "planned"
    COUNTED = "counted"
    CHECKED = "checked"
    PUBLISHED = "published"
    KEPT = "kept"  # its cells stay, readers never see them


class Check(msgspec.Struct, frozen=True):
    """What must hold before a version is published; `says` has the figures."""

    name: str
    holds: bool
    says: str


class Days(msgspec.Struct, frozen=True):
    """The first and the last day, as starts in epoch minutes, that any version up to this one has counted."""

    first: int
    last: int


class AttemptRecord(Document, frozen=True, kw_only=True, omit_defaults=True):
    """`shrunk`: those of the pairs with fewer raw rows than some attempt counted. `why`: what stopped a kept one."""

    ABOUT = About(
        kind=_PREFIX,
        touches="recounts: the next one cannot be planned, so exact_until stands still. Answers go on as they are",
        without="remove it: what that attempt planned is dirty still, and the next recompute counts it. Where raw rows "
        "were deleted since, or the lateness was raised, recount into an empty store",
    )

    number: int
    state: State
    started_at: datetime
    raw_version: int
    exact_until: datetime
    counted_until: datetime | None = None
    pairs: Pairs
    shrunk: Pairs = msgspec.field(default_factory=dict)
    days: Days | None = None
    checks: list[Check] = msgspec.field(default_factory=list)
    finished_at: datetime | None = None
    why: str | None = None

    def __post_init__(self) -> None:
        for day in (*self.pairs, *self.shrunk):
            date.fromisoformat(day)


def hours_of(pairs: Pairs) -> set[tuple[int, int]]:
    """The pairs as (hour start in epoch minutes, shard)."""
    return {
        (minute_of(datetime.fromisoformat(f"{day}T00:00Z")) + hour * 60, shard)
        for day, shards in pairs.items()
        for shard, hours in shards.items()
        for hour in hours
    }


def as_pairs(hours: set[tuple[int, int]]) -> Pairs:
    """The inverse of `hours_of`."""
    pairs: Pairs = {}
    for hour, shard in sorted(hours):
        day = pairs.setdefault(instant(Minute(hour)).date().isoformat(), {})
        day.setdefault(shard, []).append(hour % DAY // 60)
    return pairs


def attempt(store: ViewStore, number: int) -> AttemptRecord | None:
    return AttemptRecord.read(store, _name(number))


def newer_than(store: ViewStore, version: int) -> list[AttemptRecord]:
    """The attempts after number `version`, in order."""
    return list(AttemptRecord.read_all(store, _PREFIX, after=_name(version)).values())


def newest(store: ViewStore) -> int | None:
    """The number of the last attempt that was begun."""
    known = store.list_documents(_PREFIX)
    return int(known[-1][0].removeprefix(_PREFIX)) if known else None


def names_before(store: ViewStore, number: int) -> list[str]:
    """The documents of the attempts before `number`."""
    return [name for name, _ in store.list_documents(_PREFIX) if name < _name(number)]


def put_on_record(store: ViewStore, record: AttemptRecord) -> bool:
    """Put a new attempt on record; False, and no change, when its number is taken."""
    return store.swap_document(_name(record.number), None, record.to_json())


def save(store: ViewStore, record: AttemptRecord) -> None:
    record.write(store, _name(record.number))


def _name(number: int) -> str:
    return f"{_PREFIX}{number:08d}"
