"""Why the views differ, as far as raw events tell.

Of a cell that the recount says holds 100 events, two were sent again so much later that the speed layer may have
forgotten them: it can have counted 100 to 102. Within that, what is too many are duplicates. What is missing is lost,
if nothing at all of the cell is stored or an epoch ended within the hour, and unexplained otherwise, as is the rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

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


@dataclass(frozen=True)
class Explained:
    """`causes` by differing cell. `rows` and `events` in raw by (hour, shard), of those that were looked into.

    `lateness`: how many rows the log took how long after they occurred, by the names of LAGS.
    """

    causes: dict[HourCell, Causes] = field(default_factory=dict)
    rows: dict[Pair, int] = field(default_factory=dict)
    events: dict[Pair, int] = field(default_factory=dict)
    lateness: Counter[str] = field(default_factory=Counter)


def explain(
    differences: Sequence[Difference],
    files: Sequence[RawFile],
    *,
    memory: timedelta,
    changed: Collection[int],
    taken_before: int,
) -> Explained:
    """Read the raw events behind `differences`, day by day, as far as the log took them before `taken_before`, epoch
    ms; `changed`: the hours in which an epoch ended."""
    found = Explained()
    for day, some in _by_day(differences):
        hours = {one.cell.hour for one in some}
        shards = {shard_of(one.cell.video_id) for one in some}
        counted = pl.col("hour").is_in(hours) & (pl.col("appended_at") < taken_before)
        rows = judged(files, day, shards=shards, memory=memory).filter(counted)
        copies = _forgotten(rows)
        for one in some:
            found.causes[one.cell] = attribute(one, copies.get(one.cell, 0), lost=one.cell.hour in changed)
        for hour, shard, count, events in rows.group_by("hour", "shard").agg(pl.len(), pl.col("counts").sum()).rows():
            found.rows[hour, shard] = count
            found.events[hour, shard] = events
        found.lateness.update(_lateness(rows))
    return found


def attribute(difference: Difference, copies: int, *, lost: bool) -> Causes:
    """The causes of one cell's difference. `copies`: those that can have been counted again; `lost`: an epoch ended in
    its hour.

    Cells with as many events in both views differ in their values: that is one event taken for another.
    """
    missing = difference.missing
    if missing == 0:
        return Causes(duplicates=1) if copies else Causes(unexplained=1)
    if missing < 0:
        again = min(-missing, copies)
        return Causes(duplicates=again, unexplained=-missing - again)
    return Causes(lost=missing) if difference.speed is None or lost else Causes(unexplained=missing)


def _by_day(differences: Sequence[Difference]) -> Iterator[tuple[int, list[Difference]]]:
    days: dict[int, list[Difference]] = defaultdict(list)
    for one in differences:
        days[Grain.DAY.floor(Minute(one.cell.hour))].append(one)
    yield from sorted(days.items())


def _forgotten(rows: pl.DataFrame) -> Mapping[HourCell, int]:
    counts = rows.filter("forgotten").group_by(_CELL).len()
    return {HourCell(video, kind, hour): copies for video, kind, hour, copies in counts.iter_rows()}


def _lateness(rows: pl.DataFrame) -> Counter[str]:
    found: Counter[str] = Counter()
    done = 0
    for name, seconds in LAGS.items():
        within = rows.height if seconds is None else int((rows["lag"] <= seconds * 1000).sum())
        found[name] = within - done
        done = within
    return found
