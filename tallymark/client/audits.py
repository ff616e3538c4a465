"""What the audits found, as the API shows it: few figures by one name each."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from tallymark.client.tables import Listed, Rows

__all__ = ["Audit", "AuditedHour", "AuditedHours", "Audits"]

_Missed = Annotated[int, Meta(description="Events that the recount has and the speed view has not.")]
_Surplus = Annotated[int, Meta(description="Events that the speed view has too many.")]
_Unexplained = Annotated[int, Meta(description="Events by which the two differ and nobody knows why: 0, or look.")]
_Missing = Annotated[
    int | None, Meta(description="Events that producers numbered and that had not arrived; null: nobody had looked.")
]
_NotCounted = Annotated[int, Meta(description="Events that are kept and marked as not to be counted, as of bots.")]
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
    not_counted: _NotCounted = 0
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
