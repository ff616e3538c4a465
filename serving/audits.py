"""What the audits found, as the API shows it: few figures by one name each, from the documents that the audit keeps.

A document that another version of the audit wrote may have more fields than these, and is read all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tallymark.buckets import instant
from tallymark.client.tables import Listed, Rows
from tallymark.store import ViewStore

__all__ = ["MOST", "Audit", "AuditedHour", "AuditedHours", "Audits", "read_audits"]

MOST: Final = 100
_POINTER: Final = "audited"
_FOLDER: Final = "audits/"
_Missed = Annotated[int, Meta(description="Events that the recount has and the speed view has not.")]
_Surplus = Annotated[int, Meta(description="Events that the speed view has too many.")]
_Unexplained = Annotated[int, Meta(description="Events by which the two differ and nobody knows why: 0, or look.")]
_Missing = Annotated[
    int | None, Meta(description="Events that producers numbered and that had not arrived; null: nobody had looked.")
]
_Silent = Annotated[int | None, Meta(description="Producers that should have been heard and were not.")]


class AuditedHour(msgspec.Struct, frozen=True, kw_only=True):
    """Events of all videos in one sealed hour: by the recount (`batch`), and as the speed view had counted them."""

    start: Annotated[datetime, Meta(tz=True)]
    batch: int
    speed: int
    missed: _Missed
    surplus: _Surplus
    unexplained: _Unexplained


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """One audit: `hours` were compared, `empty` ones had no events, `not_compared` says what could not be looked at.

    `batch` − `missed` + `surplus` = `speed`, all of them events; the causes of both are `late`, `duplicates`, `lost`
    and `unexplained`. `budget`: the share of a count that may be missed before the verdict is `warned`. `bounds`: what
    the evidence for the bounds of answers was. `report`: where the page is. `by_hour` holds its last two weeks.
    """

    number: int
    verdict: Annotated[str, Meta(description="passed, warned or failed")]
    finished_at: Annotated[datetime, Meta(tz=True)]
    start: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)]
    version: int
    epoch: int
    hours: int
    empty: int
    batch: int
    speed: int
    missed: _Missed
    surplus: _Surplus
    late: int
    duplicates: int
    lost: int
    unexplained: _Unexplained
    missing: _Missing = None
    silent: _Silent = None
    budget: float
    bounds: str
    report: str
    not_compared: tuple[str, ...]
    by_hour: tuple[AuditedHour, ...]


class AuditedHours(msgspec.Struct, Listed[AuditedHour], frozen=True):
    """In order of time, each hour once."""

    hours: tuple[AuditedHour, ...]


class Audits(msgspec.Struct, Listed[Audit], frozen=True):
    """In the order in which they were made. As a table without `by_hour`, which `hours()` has."""

    audits: tuple[Audit, ...]

    def hours(self) -> AuditedHours:
        """What the audits last said of each hour: late events reopen hours, which are then audited again."""
        latest = {hour.start: hour for audit in self.audits for hour in audit.by_hour}
        return AuditedHours(tuple(latest[start] for start in sorted(latest)))

    def _rows(self) -> Rows:
        return Rows(Audit, self.audits, frozenset({"by_hour"}))


class _Arrived(msgspec.Struct):
    missing: int
    silent: list[msgspec.Raw]


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An audit's document, as far as it is shown; `by_hour`: start in epoch minutes, then AuditedHour's figures."""

    number: int
    verdict: str
    finished_at: datetime
    start: datetime
    until: datetime
    version: int
    epoch: int
    hours: int
    empty: int
    budget: float
    bounds: str
    report: str
    not_compared: tuple[str, ...]
    figures: dict[str, int]
    causes: dict[str, int]
    by_hour: list[tuple[int, int, int, int, int, int]]
    completeness: _Arrived | None = None


class _Pointer(msgspec.Struct):
    number: int


def read_audits(store: ViewStore, limit: int) -> Audits:
    """The last `limit`."""
    # of audits that somebody asked for, some are newer than the one that the pointer names
    pointer = store.read_document(_POINTER)
    known = msgspec.json.decode(pointer, type=_Pointer).number if pointer else 0
    found = store.list_documents(_FOLDER, after=f"{_FOLDER}{max(0, known - limit):08d}")
    return Audits(tuple(_shown(msgspec.json.decode(body, type=_Stored)) for _, body in found[-limit:]))


def _shown(stored: _Stored) -> Audit:
    own = {name: getattr(stored, name) for name in Audit.__struct_fields__ if hasattr(stored, name)}
    events = {name: stored.figures[name] for name in ("batch", "speed")}
    causes = {name: stored.causes[name] for name in ("late", "duplicates", "lost", "unexplained")}
    arrived = stored.completeness
    return Audit(
        **own | events | causes | {"by_hour": tuple(_hours(stored))},
        missed=stored.figures["under"],
        surplus=stored.figures["over"],
        missing=None if arrived is None else arrived.missing,
        silent=None if arrived is None else len(arrived.silent),
    )


def _hours(stored: _Stored) -> Iterator[AuditedHour]:
    for start, batch, speed, missed, surplus, unexplained in stored.by_hour:
        yield AuditedHour(
            start=instant(start), batch=batch, speed=speed, missed=missed, surplus=surplus, unexplained=unexplained
        )
