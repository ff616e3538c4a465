"""What an audit finds, as values: figures that add up, single cells that differ, and the document that is kept."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Self

import msgspec

from tallymark.documents.document import About, Document

__all__ = [
    "AuditRecord",
    "Causes",
    "Clock",
    "Completeness",
    "Difference",
    "Expected",
    "Figures",
    "Gap",
    "HourCell",
    "HourFigures",
    "TypeFigures",
    "Unheard",
]


class HourCell(NamedTuple):
    """The key of an hour's cell; `hour` is its start in epoch minutes."""

    video_id: str
    type: str
    hour: int


class Difference(NamedTuple):
    """A cell on which the views do not agree: events by the batch view and by the speed view; None: no such cell."""

    cell: HourCell
    batch: int | None
    speed: int | None

    @property
    def missing(self) -> int:
        """Events that the speed view lacks; negative: that it has too many."""
        return (self.batch or 0) - (self.speed or 0)


class _Adding(msgspec.Struct, frozen=True):
    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class Causes(_Adding, frozen=True):
    """Events by which the views differ. `lost`: cells that are not there, or an epoch that ended within the hour."""

    late: int = 0
    duplicates: int = 0
    lost: int = 0
    unexplained: int = 0

    @property
    def explained(self) -> int:
        return self.late + self.duplicates + self.lost


class Figures(_Adding, frozen=True):
    """Of some cells: how many agree and how not, and how many events they hold.

    `under` and `over` are events that the speed view lacks, or has too many, cell by cell: batch − under + over =
    speed. `negative` cells hold less than nothing; of `users_off` cells the views agree on all but the unique users.
    """

    equal: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    batch: int = 0
    speed: int = 0
    under: int = 0
    over: int = 0
    negative: int = 0
    users_off: int = 0

    @property
    def cells(self) -> int:
        return self.equal + self.differing + self.missing + self.extra

    @property
    def missing_share(self) -> float:
        """The part of the count that the speed view lacks, 0 to 1."""
        return self.under / self.batch if self.batch > 0 else 0.0

    @property
    def error(self) -> float:
        """(speed − batch) / batch."""
        return (self.speed - self.batch) / self.batch if self.batch > 0 else 0.0


class TypeFigures(msgspec.Struct, frozen=True):
    """All audited cells of a type."""

    type: str
    figures: Figures
    causes: Causes


class HourFigures(msgspec.Struct, frozen=True, array_like=True):
    """All audited cells of one hour (start in epoch minutes), in few bytes."""

    hour: int
    batch: int
    speed: int
    under: int
    over: int
    unexplained: int


class Expected(msgspec.Struct, frozen=True):
    """One expectation: whether it holds; when not, whether that fails the audit or only warns, and what was seen."""

    says: str
    holds: bool
    fails: bool
    seen: str


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """Numbers `first` to `last` of a producer never arrived; their events occurred in [start, end), epoch minutes.

    `new`: the audit before did not know.
    """

    producer: str
    first: int
    last: int
    start: int
    end: int
    new: bool


class Unheard(msgspec.Struct, frozen=True, array_like=True):
    """Nothing has come of `producer` since `heard`, by the log's clock, although `expected` events should have."""

    producer: str
    heard: datetime
    expected: float


class Completeness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether everything arrived that the log took before `checked_until`.

    Of `rows` raw rows, `numbered` carry a producer and a number; `producers` are so many sequences that were heard in
    the last days, and of `expected` producers it is known how much they send. `missing` numbers never arrived, `found`
    of them the audit before did not know; `gaps` are the newest. `chaotic`: producers whose numbers are no sequence.
    """

    checked_until: datetime
    rows: int
    numbered: int
    producers: int
    expected: int
    missing: int
    found: int
    gaps: list[Gap]
    silent: list[Unheard]
    chaotic: list[str]

    @property
    def numbered_share(self) -> float | None:
        """The part of what arrived in which a gap can be found."""
        return self.numbered / self.rows if self.rows else None


class Clock(msgspec.Struct, frozen=True, array_like=True):
    """Of a producer ("": of none), `events` were sent by a clock that was ahead, and set back by so many ms.

    `twice`: of them, those that lie in two hours, since two tries were set back by amounts that differ.
    """

    producer: str
    events: int
    median_ms: int
    max_ms: int
    twice: int


class AuditRecord(Document, frozen=True, kw_only=True):
    """What an audit found: the document `audits/<number>`.

    `verdict` is `passed`, `warned`, `failed`, or `nothing` when there was no hour to compare. `hours` were compared,
    `empty` had no events; `not_compared` says in words what could not be looked at. `by_hour` holds the last hours,
    `worst` the cells that differ most, `videos` those that do with how many events, `lateness` how many raw rows of the
    hours looked into came how late. `clocks`: of the hours that were compared; `not_counted`: how many of their events
    are kept and not counted, by why. `completeness`: None while the archive has not told how far it has come.
    """

    ABOUT = About(
        kind="audits/",
        touches="what audits showed, in reports and at /v1/audits, and audits that draw it. Answers and recounts go on",
        without="remove it: that audit is shown no more; its report stays where it is",
    )

    number: int
    verdict: str
    started_at: datetime
    finished_at: datetime
    start: datetime
    until: datetime
    version: int
    epoch: int
    budget: float
    hours: int
    empty: int
    not_compared: list[str]
    figures: Figures
    causes: Causes
    by_type: list[TypeFigures]
    by_hour: list[HourFigures]
    worst: list[Difference]
    videos: list[tuple[str, int]] = msgspec.field(default_factory=list)
    lateness: dict[str, int]
    expectations: list[Expected]
    bounds: str
    report: str = ""
    completeness: Completeness | None = None
    clocks: list[Clock] = msgspec.field(default_factory=list)
    not_counted: dict[str, int] = msgspec.field(default_factory=dict)
