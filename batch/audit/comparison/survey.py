"""The comparison of all shards, with its causes: what the expectations and the report go by."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Final

import pandas as pd

from batch.audit.comparison.causes import Explained, Pair, explain
from batch.audit.comparison.compare import compare
from batch.audit.comparison.marked import Marked, marked_in
from batch.audit.comparison.scope import Scope
from batch.ledger import rows_counted
from tallymark.buckets import Bucket, Grain
from tallymark.cells import SHARDS, Cell
from tallymark.documents.audit_record import Causes, Difference, Figures, HourFigures, TypeFigures
from tallymark.documents.publication import Publication
from tallymark.instants import Minute, instant, millis_of
from tallymark.raw import RawFile
from tallymark.store import View, ViewStore

__all__ = ["Survey", "survey", "versions_table"]

_EVER: Final = 2**62


@dataclass(frozen=True, kw_only=True)
class Survey:
    """`figures` and `causes` by (hour, type); `ledger` rows and batch `events` by (hour, shard).

    `hours` were compared; in `empty` others neither view has anything. `marked` are the events that neither counts.
    """

    hours: set[int]
    empty: int
    figures: dict[tuple[int, str], Figures]
    causes: dict[tuple[int, str], Causes]
    differences: list[Difference]
    explained: Explained
    events: dict[Pair, int]
    ledger: dict[Pair, int]
    marked: Marked
    not_compared: list[str]

    @property
    def total(self) -> Figures:
        return sum(self.figures.values(), start=Figures())

    @property
    def all_causes(self) -> Causes:
        return sum(self.causes.values(), start=Causes())

    def by_type(self) -> list[TypeFigures]:
        figures: dict[str, Figures] = defaultdict(Figures)
        causes: dict[str, Causes] = defaultdict(Causes)
        for (hour, kind), some in self.figures.items():
            figures[kind] += some
            causes[kind] += self.causes.get((hour, kind), Causes())
        return [TypeFigures(kind, figures[kind], causes[kind]) for kind in sorted(figures)]

    def by_hour(self) -> list[HourFigures]:
        figures: dict[int, Figures] = defaultdict(Figures)
        unexplained: Counter[int] = Counter()
        for (hour, kind), some in self.figures.items():
            figures[hour] += some
            unexplained[hour] += self.causes.get((hour, kind), Causes()).unexplained
        return [
            HourFigures(hour, of.batch, of.speed, of.under, of.over, unexplained[hour])
            for hour, of in sorted(figures.items())
        ]

    def tables(self) -> dict[str, pd.DataFrame]:
        """What the suites `types`, `hours` and `conservation` hold their expectations against."""
        types = [{"type": one.type, "missing_share": one.figures.missing_share} for one in self.by_type()]
        hours = [
            {
                "hour": f"{instant(Minute(hour)):%Y-%m-%d %H:%M}",
                "type": kind,
                "unexplained": self.causes.get((hour, kind), Causes()).unexplained,
                "extra": of.extra,
                "negative": of.negative,
                "users_off": of.users_off,
            }
            for (hour, kind), of in sorted(self.figures.items())
        ]
        return {
            "types": pd.DataFrame(types),
            "hours": pd.DataFrame(hours),
            "conservation": pd.DataFrame([self._conserved(hour) for hour in sorted(self.hours)]),
        }

    def _conserved(self, hour: int) -> dict[str, object]:
        beyond = unconserved = 0
        for pair in ((hour, shard) for shard in range(SHARDS)):
            events, counted = self.events.get(pair, 0), self.ledger.get(pair, 0)
            beyond += max(0, events - counted)
            if counted and not events:
                unconserved += max(0, counted - self.marked.rows[pair])
            elif self.explained.rows.get(pair) == counted:  # otherwise more came since that version was counted
                unconserved += abs(self.explained.events[pair] - events)
        return {"hour": f"{instant(Minute(hour)):%Y-%m-%d %H:%M}", "beyond_ledger": beyond, "unconserved": unconserved}


def survey(store: ViewStore, within: Scope, files: Sequence[RawFile], *, memory: timedelta) -> Survey:
    """Compare the hours of `within`, and look into raw events where they differ.

    Of what came late, the version has counted the steps before `first_uncounted_step`: those are compared with it.
    """
    figures: dict[tuple[int, str], Figures] = defaultdict(Figures)
    events: dict[Pair, int] = {}
    differences: list[Difference] = []
    for shard in range(SHARDS):
        cells = store.scan(View.BATCH, shard, Grain.HOUR, version=within.at.version)
        batch = [cell for cell in cells if cell.bucket.start in within.hours]
        late = _late(store, shard, within)
        for epoch, hours in within.by_epoch.items():
            speed = store.scan(View.SPEED, shard, Grain.MINUTE, version=epoch)
            found = compare(batch, chain(speed, late), hours)
            for key, some in found.figures.items():
                figures[key] += some
            events |= {(hour, shard): count for hour, count in found.events.items()}
            differences += found.differences
    gone = _gone(figures, within)
    differences = [one for one in differences if one.cell.hour not in gone]
    counted_until = within.at.counted_until
    taken_before = _EVER if counted_until is None else millis_of(counted_until)
    explained = explain(differences, files, memory=memory, changed=within.changed, taken_before=taken_before)
    causes: dict[tuple[int, str], Causes] = defaultdict(Causes)
    for cell, why in explained.causes.items():
        causes[cell.hour, cell.type] += why
    compared = within.hours & (within.counted | {hour for hour, _ in figures}) - gone
    return Survey(
        hours=compared,
        empty=len(within.hours - compared - gone),
        figures={key: some for key, some in figures.items() if key[0] not in gone},
        causes=dict(causes),
        differences=differences,
        explained=explained,
        events=events,
        ledger=_ledger(store, compared, within.at.version),
        marked=marked_in(files, compared, taken_before=taken_before),
        not_compared=[f"{len(gone)} older hours have no speed cells any more: nothing to compare with"] if gone else [],
    )


def versions_table(history: Sequence[Publication]) -> pd.DataFrame:
    """What the suite `versions` is about. A rollback publishes an older version again, so the order is by number."""
    latest = {one.version: one for one in history}
    rows = [{"version": number, "exact_until": latest[number].boundary} for number in sorted(latest)]
    return pd.DataFrame(rows)


def _late(store: ViewStore, shard: int, within: Scope) -> list[Cell]:
    """What came late, as minute cells. They are read at the epoch of now, whichever was published when their hour was
    sealed: each step is wholly in the newest epoch that has met it."""
    return [
        Cell(cell.video_id, cell.type, Bucket(Grain.MINUTE, cell.minute), cell.tally)
        for cell in store.scan_late(shard, version=within.at.epoch)
        if cell.step < within.at.first_uncounted_step and Grain.HOUR.floor(cell.minute) in within.hours
    ]


def _gone(figures: dict[tuple[int, str], Figures], within: Scope) -> set[int]:
    """Hours that an audit has seen before, or that somebody asked for, and of which no speed cell is left."""
    seen: Counter[int] = Counter()
    for (hour, _), some in figures.items():
        seen[hour] += some.equal + some.differing + some.extra
    return {hour for hour, cells in seen.items() if not cells and hour not in within.fresh}


def _ledger(store: ViewStore, hours: set[int], version: int) -> dict[Pair, int]:
    return rows_counted(store, Grain.HOUR, dict.fromkeys(range(SHARDS), sorted(hours)), version=version)
