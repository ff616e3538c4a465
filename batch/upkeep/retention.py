"""What may still be needed, and what `maintain` may therefore remove (ADR 38).

A reader at version v (now, by `as_of`, or after a rollback) takes minutes from v's exact_until on from the speed view,
and what came late since v counted from its late cells. A recount on top of v lists all attempts after v. So
whatever the oldest version that can still be chosen needs is kept, and versions before it can be chosen no more: they
leave the history first, and no reader gets half of one.

    history   41  42  43 | 44 … 91   keep_versions = 48
              forgotten    kept: attempts from 44 on, and of the speed view what is younger than `keep` before the
                           earliest exact_until of 44 … 91
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from tallymark.documents import attempts, publication
from tallymark.store import ViewStore
from tallymark.store.lease import held_since

__all__ = ["Retention", "raw_age", "retention_of"]

# HBase keeps 64 versions of a cell. An attempt writes a cell at most once, so those of the last 64 attempts are there.
_READABLE_ATTEMPTS: Final = 64
_CLOCKS: Final = timedelta(minutes=10)  # by which those of two machines may differ


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """`versions` stay, newest first; `forgotten` go. Of the speed view stay minutes from `speed_from` on, and what came
    late from then on, by the log's time; None: all of it."""

    versions: list[int]
    forgotten: list[int]
    speed_from: datetime | None
    attempts_from: int


def retention_of(store: ViewStore, *, most: int, keep: timedelta) -> Retention:
    """What the last `most` versions that readers saw need, the current one first; and `keep` more of speed minutes."""
    history = publication.history(store)
    if not history:
        return Retention(versions=[], forgotten=[], speed_from=None, attempts_from=0)
    newest = max([record.number for record in attempts.newer_than(store, history[-1].version)], default=0)
    newest = max(newest, *(each.version for each in history))
    seen = list(dict.fromkeys(each.version for each in reversed(history)))
    chosen = [version for version in seen[:most] if version > newest - _READABLE_ATTEMPTS or version == seen[0]]
    kept = {each.version: each for each in history if each.version in chosen}
    return Retention(
        versions=chosen,
        forgotten=sorted(set(seen) - set(chosen)),
        speed_from=_hour_of(min(each.exact_until for each in kept.values()) - keep),
        attempts_from=min(kept),
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
