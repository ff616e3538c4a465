"""Which hours are to be audited, and the speed view as it stood when each was sealed.

An hour is audited when it was sealed since the last audit, and again when late events reopened it. The plans of the
attempts since then name both.

The minutes of a sealed hour do not change any more, since what comes late is kept apart, but for a newer epoch: they
are read at the epoch that was published when the hour was sealed. The publication that seals it is put out with the
epoch of the one before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from tallymark.buckets import Grain, TimeRange
from tallymark.documents import attempts, publication
from tallymark.documents.audits import Last
from tallymark.documents.imports import known_imports
from tallymark.documents.publication import Publication
from tallymark.instants import Minute, instant, minute_of
from tallymark.store import ViewStore

__all__ = ["Scope", "Sealing", "scope", "sealings"]


class Sealing(NamedTuple):
    """Hours before `until`, and not before that of the last one, were sealed with `epoch`.

    `changed`: the epoch began while they were open.
    """

    until: int
    epoch: int
    changed: bool


class Scope(NamedTuple):
    """`hours` to compare (starts in epoch minutes) by the epoch of the speed view, of the range `within`.

    `counted`: those of which raw had something to count; in the others the speed view must have nothing either.
    `fresh`: those that no audit has seen. `changed`: those in which an epoch ended.
    """

    at: Publication
    within: TimeRange
    by_epoch: dict[int, set[int]]
    counted: set[int]
    fresh: set[int]
    changed: set[int]
    not_compared: list[str]

    @property
    def hours(self) -> set[int]:
        return set().union(*self.by_epoch.values())


def scope(store: ViewStore, last: Last | None, *, start: datetime | None, until: datetime | None) -> Scope:
    """The hours since `last`, or those of the asked range, as far as they are sealed."""
    at = publication.current(store)
    not_compared = [] if at.version else ["nothing was published yet, so no hour is sealed: run `tallymark recompute`"]
    asked = start is not None or until is not None
    known = _counted_since(store, at, 0 if asked or last is None else last.version)
    first = min(known, default=at.boundary) if last is None or asked else min(last.until, at.boundary)
    within = TimeRange(
        Minute(Grain.HOUR.floor(minute_of(start)) if start else first),
        Minute(min(Grain.HOUR.ceil(TimeRange.covering(until, until).end) if until else at.boundary, at.boundary)),
    )
    if until and minute_of(until) > at.boundary:
        not_compared.append(f"hours from {instant(at.boundary):%Y-%m-%d %H:%M} UTC on are not sealed yet")
    counted = {hour for hour in known if within.start <= hour < within.end} if asked else known
    hours = counted.union(range(within.start, within.end, 60))
    if last is not None and not asked and last.until > at.boundary:
        not_compared.append(
            f"version {at.version} was rolled back to: hours from {instant(at.boundary):%Y-%m-%d %H:%M} UTC on were "
            f"audited as of a later version and are not sealed now"
        )
    imports = known_imports(store)
    if imported := {hour for hour in hours if imports.holds(hour)}:
        hours, counted = hours - imported, counted - imported
        not_compared.append(f"{len(imported)} hours hold imported events, which the speed view never met")
    seals = sealings(publication.history(store))
    by_epoch: dict[int, set[int]] = {}
    changed = set()
    for hour in hours:
        seal = _sealing_of(hour, seals)
        by_epoch.setdefault(seal.epoch, set()).add(hour)
        if seal.changed:
            changed.add(hour)
    if unseen := by_epoch.pop(0, set()) & counted:
        not_compared.append(f"{len(unseen)} hours were sealed while readers had no speed view: nothing to compare with")
    fresh = {hour for hour in hours if not asked and (last is None or hour >= last.until)}
    return Scope(at, within, by_epoch, counted, fresh, changed, not_compared)


def sealings(history: Sequence[Publication]) -> list[Sealing]:
    """Which publication sealed which hours, in order of time. A rollback seals nothing, what it took back stays."""
    seals: list[Sealing] = []
    reached = 0
    known = [history[0], history[0], *history] if history else []
    for (earlier, before), (_, at) in pairwise(pairwise(known)):
        if at.boundary > reached:
            seals.append(Sealing(at.boundary, before.epoch, changed=earlier.epoch != before.epoch))
            reached = at.boundary
    return seals


def _sealing_of(hour: int, seals: Sequence[Sealing]) -> Sealing:
    return seals[min(bisect_right([seal.until for seal in seals], hour), len(seals) - 1)]


def _counted_since(store: ViewStore, at: Publication, version: int) -> set[int]:
    """Hours that the attempts after `version`, up to the published one, counted."""
    return {
        hour
        for record in attempts.newer_than(store, version)
        if record.number <= at.version
        for hour, _ in attempts.hours_of(record.pairs)
        if hour < at.boundary
    }
