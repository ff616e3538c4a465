"""Why the views differ, as far as raw events tell.

Of a cell that the recount says holds 100 events, 3 came behind the watermark, and one has a copy with another
occurred_at that did not: the speed layer can have counted 97 to 101. Within that it is explained: 98 are 2 late ones,
101 is one duplicate. What lies outside of it is lost, if nothing at all of the cell is stored or an epoch ended within
the hour, and unexplained otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from batch.audit.comparison.raw_rows import judged
from tallymark.buckets import Grain
from tallymark.cells import shard_of
from tallymark.documents.audit_record import Causes, Difference, HourCell
from tallymark.instants import Minute
from tallymark.raw import RawFile

__all__ = ["LAGS", "Explained", "Pair", "attribute", "explain"]

Pair = tuple[int, int]  # (hour start in epoch minutes, shard)
_CELL: Final = ["video_id", "type", "hour"]
LAGS: Final = {
    "none": 0,
    "≤10 s": 10,
    "≤1 m": 60,
    "≤2 m": 120,
    "≤10 m": 600,
    "≤1 h": 3600,
    "≤6 h": 21_600,
    "more": None,
}


class _Seen(NamedTuple):
    """Of one cell, by raw events: those that can have been dropped, and copies that can have been counted again."""

    late: int
    copies: int


@dataclass(frozen=True)
class Explained:
    """`causes` by differing cell. `rows` and `events` in raw by (hour, shard), of those that were looked into.

    `lateness`: how many rows came how far behind, by the names of LAGS.
    """

    causes: dict[HourCell, Causes] = field(default_factory=dict)
    rows: dict[Pair, int] = field(default_factory=dict)
    events: dict[Pair, int] = field(default_factory=dict)
    lateness: Counter[str] = field(default_factory=Counter)


def explain(
    differences: Sequence[Difference], files: Sequence[RawFile], *, lateness: timedelta, changed: Collection[int]
) -> Explained:
    """Read the raw events behind `differences`, day by day; `changed`: the hours in which an epoch ended."""
    found = Explained()
    for day, some in _by_day(differences):
        hours = {one.cell.hour for one in some}
        shards = {shard_of(one.cell.video_id) for one in some}
        rows = judged(files, day, shards=shards, lateness=lateness).filter(pl.col("hour").is_in(hours))
        seen = _seen(rows)
        for one in some:
            of_cell = seen.get(one.cell, _Seen(0, 0))
            found.causes[one.cell] = attribute(one, *of_cell, lost=one.cell.hour in changed)
        for hour, shard, count, events in rows.group_by("hour", "shard").agg(pl.len(), pl.col("first").sum()).rows():
            found.rows[hour, shard] = count
            found.events[hour, shard] = events
        found.lateness.update(_lateness(rows))
    return found


def attribute(difference: Difference, late: int, copies: int, *, lost: bool) -> Causes:
    """The causes of one cell's difference; `lost`: an epoch ended in its hour.

    Cells with as many events in both views differ in their values: that is one event taken for another.
    """
    missing = difference.missing
    if missing == 0:
        return Causes(late=1) if late else Causes(duplicates=1) if copies else Causes(unexplained=1)
    if missing < 0:
        again = min(-missing, copies)
        return Causes(duplicates=again, unexplained=-missing - again)
    too_late = min(missing, late)
    rest = missing - too_late
    if difference.speed is None or lost:
        return Causes(late=too_late, lost=rest)
    return Causes(late=too_late, unexplained=rest)


def _by_day(differences: Sequence[Difference]) -> Iterator[tuple[int, list[Difference]]]:
    days: dict[int, list[Difference]] = defaultdict(list)
    for one in differences:
        days[Grain.DAY.floor(Minute(one.cell.hour))].append(one)
    yield from sorted(days.items())


def _seen(rows: pl.DataFrame) -> Mapping[HourCell, _Seen]:
    firsts = rows.filter("first")
    identity = ["event_id", "video_id", "hour", "at"]
    # a copy in the same step is known by its hash; one in another step is taken for an event of its own
    copies = (
        rows.filter(~pl.col("first") & ~pl.col("late"))
        .join(firsts, on=identity, how="anti")
        .unique(identity)
        .group_by(_CELL)
        .agg(copies=pl.len())
    )
    late = firsts.filter("late").group_by(_CELL).agg(late=pl.len())
    both = late.join(copies, on=_CELL, how="full", coalesce=True).select(*_CELL, "late", "copies").fill_null(0)
    return {HourCell(video, kind, hour): _Seen(late, copies) for video, kind, hour, late, copies in both.iter_rows()}


def _lateness(rows: pl.DataFrame) -> Counter[str]:
    found: Counter[str] = Counter()
    done = 0
    for name, seconds in LAGS.items():
        within = rows.height if seconds is None else int((rows["lag"] <= seconds * 1000).sum())
        found[name] = within - done
        done = within
    return found
