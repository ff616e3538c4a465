"""What may still be needed, and what `maintain` may therefore remove (ADR 38).

A reader at version v (now, by `as_of`, or after a rollback) takes minutes from v's exact_until on from the speed view,
and what came late since v counted from its late cells. A recount on top of v lists all attempts after v. So
whatever the oldest version that can still be chosen needs is kept, and versions before it can be chosen no more: they
leave the history first, and no reader gets half of one.

Versions are thinned like backups: a recount every minute must not push yesterday's out.

    published    now … 1 h     … 2 days               … 30 days            before
    kept         all           the last of each hour  the last of a day    none

A store that keeps only so many versions of a row (HBase) holds those of so many attempts, crashed ones too: what is
further back might read a row that was pushed out, and is forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

import msgspec

from tallymark.documents import publication
from tallymark.documents.publication import Publication
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.lease import held_since

__all__ = ["Retention", "Thinning", "raw_age", "retention_of"]

_CLOCKS: Final = timedelta(minutes=10)  # by which those of two machines may differ


class Thinning(NamedTuple):
    """For how long all versions stay, the last of each hour, and the last of each day."""

    all: timedelta
    hourly: timedelta
    daily: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.keep_versions, settings.keep_hourly_versions, settings.keep_daily_versions)

    def chosen(self, history: Sequence[Publication], now: datetime) -> list[Publication]:
        """Those of `history`, in its order, that stay; of a version that was published again, the last time counts."""
        last = {at.version: at for at in history}
        of_hour = {at.published_at.replace(minute=0, second=0, microsecond=0): at.version for at in last.values()}
        of_day = {at.published_at.date(): at.version for at in last.values()}
        kept = []
        for at in sorted(last.values(), key=lambda at: at.published_at):
            age = now - at.published_at
            in_hour = of_hour[at.published_at.replace(minute=0, second=0, microsecond=0)]
            in_day = of_day[at.published_at.date()]
            stays = age <= self.all or (age <= self.hourly and at.version == in_hour)
            if stays or (age <= self.daily and at.version == in_day) or at is last[history[-1].version]:
                kept.append(at)
        return kept


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """`versions` stay, newest first; `forgotten` go. Of the speed view stay minutes from `speed_from` on, and what came
    late from then on, by the log's time; None: all of it."""

    versions: list[int]
    forgotten: list[int]
    speed_from: datetime | None
    attempts_from: int


def retention_of(store: ViewStore, *, thinning: Thinning, keep: timedelta, now: datetime) -> Retention:
    """What the versions that stay need, the current one first; and `keep` more of speed minutes."""
    history = publication.history(store)
    if not history:
        return Retention(versions=[], forgotten=[], speed_from=None, attempts_from=0)
    current = history[-1].version
    oldest = publication.oldest_in_reach(store, current=current)
    kept = [at for at in thinning.chosen(history, now) if at.version == current or at.version >= oldest]
    versions = [at.version for at in reversed(kept)]
    return Retention(
        versions=versions,
        forgotten=sorted({at.version for at in history} - set(versions)),
        speed_from=_hour_of(min(at.exact_until for at in history if at.version in versions) - keep),
        attempts_from=min(versions),
    )


def raw_age(store: ViewStore, *, keep: timedelta, now: datetime) -> timedelta:
    """For how long a raw file must be out of the table before it is deleted.

    Answers never read raw files. A recount reads those of the version that it pinned after it took its lease: what was
    out of the table before, it does not read. `keep` is for people who look at an older version of the table.
    """
    recount = held_since(store, "recompute")
    return keep if recount is None else max(keep, now - recount + _CLOCKS)


def _hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
