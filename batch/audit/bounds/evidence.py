"""Bounds from evidence: what past reads would have seen, against what is exact by now (ADR 39).

Reads of the past are made up, with random videos, ends and lengths, and answered from the raw events as readers would
have seen them at that instant: before the boundary of the version that was published then, what that had counted; from
there on, what had arrived. Half of them say how counts grow with age. On the other half, that forecast's errors are
measured, each against the square root of what it foretold, since counts scatter that way; their quantiles are the
bounds.

This is split conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005), with
normalised scores (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman, "Distribution-Free Predictive Inference for
Regression", JASA 2018). It promises the stated confidence if later reads are like those it measured: that is why it
takes the last days, and the audit takes it anew each time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, log
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from batch.audit.comparison.raw_rows import judged
from tallymark.buckets import Grain
from tallymark.documents.evidence import AGES, Evidence, Growth
from tallymark.instants import DAY, MINUTE_MS, Minute, minute_of
from tallymark.raw import IMPORTED, RawFile

__all__ = ["CONFIDENCE", "HOURS_NEEDED", "Shown", "conformal", "gather"]

CONFIDENCE: Final = 0.95
HOURS_NEEDED: Final = 24
_SETTLED: Final = timedelta(hours=24)  # after it, what an hour still gets is left out of account
_SPAN: Final = timedelta(days=7)
_READS: Final = 6000
_READS_NEEDED: Final = 200
_ROWS: Final = 2_000_000  # shards are left out beyond it
_SPEED_DELAY_MS: Final = 2_000
_CLASSES: Final = len(AGES) + 1
_Ints = npt.NDArray[np.int64]


class Shown(NamedTuple):
    """From `since_ms` on, readers saw batch cells before minute `boundary`, of rows that the log took before
    `counted_ms`."""

    since_ms: int
    boundary: int
    counted_ms: int


def gather(
    files: Sequence[RawFile], shown: Sequence[Shown], *, now: datetime, memory: timedelta, seed: int = 0
) -> Evidence:
    """What the raw events of the last days tell, for each type of which there are enough. `shown`: in order of time."""
    until = minute_of(now - _SETTLED)
    since = until - _SPAN // timedelta(minutes=1)
    rows = _rows(files, since - AGES[-1], until, memory)
    hours = rows.filter(pl.col("minute").is_between(since, until, closed="left"))["hour"].n_unique()
    types = {}
    if hours >= HOURS_NEEDED and shown:
        since = max(since, int(rows["minute"].min()) + 60)  # type: ignore[arg-type]
        for (kind,), some in sorted(rows.group_by("type")):
            growth = _growth(_reads(some, shown, since, until, np.random.default_rng(seed)))
            if growth:
                types[str(kind)] = growth
    return Evidence(made_at=now, hours=hours, needed=HOURS_NEEDED, confidence=CONFIDENCE, types=types)


def conformal(scores: Sequence[float], level: float) -> float:
    """A bound that a further score keeps to with probability `level`: the ⌈(n + 1) · level⌉-th smallest of n.

    Infinite when there are too few: of 38 scores, none bounds the next one in 97.5 of 100 cases.
    """
    rank = ceil((len(scores) + 1) * level)
    return sorted(scores)[rank - 1] if rank <= len(scores) else float("inf")


def _rows(files: Sequence[RawFile], start: int, end: int, memory: timedelta) -> pl.DataFrame:
    """The events that count in the minutes from `start` to `end`, of as many shards as are few enough rows.

    Imported ones are left out: no reader waited for them.
    """
    first_day, last_day = Grain.DAY.floor(Minute(start)), Grain.DAY.floor(Minute(end))
    inside = [file for file in files if any(first_day <= day <= last_day + DAY for day in file.on_days)]
    taken: set[int] = set()
    rows = 0
    for shard in sorted({file.shard for file in inside}):
        rows += sum(file.rows for file in inside if file.shard == shard)
        if taken and rows > _ROWS:
            break
        taken.add(shard)
    days = [judged(inside, day, shards=taken, memory=memory) for day in range(first_day, last_day + 1, DAY)]
    return (
        pl.concat(days)
        .filter(pl.col("counts") & pl.col("minute").is_between(start, end) & (pl.col("log_partition") != IMPORTED))
        .select("video_id", "type", "hour", "minute", "appended_at")
        .sort("video_id", "minute")
    )


@dataclass(frozen=True)
class _Reads:
    """A row a read. `seen`: events by view (speed, batch) and class of age; `exact`: by now, likewise."""

    seen: _Ints
    exact: _Ints


def _reads(rows: pl.DataFrame, shown: Sequence[Shown], since: int, until: int, random: np.random.Generator) -> _Reads:
    """Reads that meet at least one event, of a video each as likely as any other."""
    minute, appended = rows["minute"].to_numpy(), rows["appended_at"].to_numpy()
    videos = rows["video_id"].rle().struct.field("len").cast(pl.Int64).to_numpy().cumsum()
    starts = np.concatenate(([0], videos[:-1]))
    seen, exact = [], []
    for _ in range(_READS):
        video = int(random.integers(len(videos)))
        end = int(random.integers(since, until))
        start = end - round(float(np.exp(random.uniform(log(5), log(AGES[-1])))))
        at_ms = end * MINUTE_MS - int(random.integers(MINUTE_MS))
        mine = slice(starts[video], videos[video])
        inside = slice(*(starts[video] + np.searchsorted(minute[mine], [start, end])))
        view = _shown_at(shown, at_ms)
        if inside.start == inside.stop or view is None:
            continue
        minutes, arrived = minute[inside], appended[inside]
        batch = minutes < view.boundary
        known = np.where(batch, arrived < view.counted_ms, arrived < at_ms - _SPEED_DELAY_MS)
        place = batch * _CLASSES + np.searchsorted(AGES, end - 2 - minutes, side="right")
        seen.append(np.bincount(place[known], minlength=2 * _CLASSES))
        exact.append(np.bincount(place, minlength=2 * _CLASSES))
    return _Reads(np.array(seen, dtype=np.int64), np.array(exact, dtype=np.int64))


def _shown_at(shown: Sequence[Shown], at_ms: int) -> Shown | None:
    place = bisect_right(shown, at_ms, key=lambda one: one.since_ms)
    return shown[place - 1] if place else None


def _growth(reads: _Reads) -> Growth | None:
    if len(reads.seen) < 2 * _READS_NEEDED:
        return None
    learnt, measured = slice(0, None, 2), slice(1, None, 2)
    seen, exact = reads.seen[learnt].sum(axis=0), reads.exact[learnt].sum(axis=0)
    rates = np.where(seen > 0, (exact - seen) / np.maximum(seen, 1), 0.0)
    expected = reads.seen[measured] @ (1 + rates)
    truth, found = reads.exact[measured].sum(axis=1), reads.seen[measured].sum(axis=1)
    level = 1 - (1 - CONFIDENCE) / 2  # half of what may go wrong, to either side
    above = conformal(((truth - expected) / np.sqrt(expected + 1)).tolist(), level)
    below = conformal(((found - truth) / (found + 1)).tolist(), level)
    rounded = [round(float(rate), 6) for rate in rates]
    return Growth(
        reads=len(truth),
        speed=rounded[:_CLASSES],
        batch=rounded[_CLASSES:],
        above=max(0.0, above),
        below=max(0.0, below),
    )
