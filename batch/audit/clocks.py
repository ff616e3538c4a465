"""Clocks of senders that are ahead: by how much, producer by producer, in the hours that are audited.

The gateway sets such events back by as much as the clock was ahead when they were sent (ADR 55). Two tries to send one
event are set back by amounts that differ a little, so near a full hour it may come to lie in two hours, and count
twice: both copies have the same id, video, and time by the sender's clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import polars as pl

from batch.audit.completeness.roster import name_of
from tallymark.documents.audit_record import Clock
from tallymark.instants import HOUR, HOUR_MS
from tallymark.raw import RawFile, scanning

__all__ = ["clocks"]

_SHOWN: Final = 20
_AHEAD: Final = pl.col("clock_ahead_ms")


def clocks(files: Sequence[RawFile], hours: Collection[int]) -> list[Clock]:
    """Of events of `hours` (starts in epoch minutes), those that were set back, of the producers with most of them.

    Raises RawRefused or RawUnavailable.
    """
    parts = list(_by_shard(files, hours))
    if not parts:
        return []
    by_skew = pl.concat([skews for skews, _ in parts]).group_by("producer", "clock_ahead_ms").agg(pl.col("len").sum())
    twice = pl.concat([events for _, events in parts]).group_by("producer").agg(twice=pl.col("len").sum())
    half = pl.col("len").cum_sum() * 2 >= pl.col("len").sum()  # in order of skew, from there on
    found = (
        by_skew.sort("clock_ahead_ms")
        .group_by("producer", maintain_order=True)
        .agg(events=pl.col("len").sum(), median_ms=_AHEAD.filter(half).first(), max_ms=_AHEAD.last())
        .join(twice, on="producer", how="left", nulls_equal=True)
        .sort("events", "producer", descending=[True, False])
        .head(_SHOWN)
    )
    columns = found.select("producer", "events", "median_ms", "max_ms", pl.col("twice").fill_null(0))
    return [Clock(producer or "", *figures) for producer, *figures in columns.iter_rows()]


def _by_shard(files: Sequence[RawFile], hours: Collection[int]) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """(events by producer and skew; events that lie in two hours, by producer), by shard, which has all copies."""
    near = {hour + beside for hour in hours for beside in (-HOUR, 0, HOUR)}
    inside = [file for file in files if any(file.overlaps(hour) for hour in near)]
    hour = (pl.col("occurred_at") // HOUR_MS * HOUR).alias("hour")
    for shard in sorted({file.shard for file in inside}):
        uris = [file.uri for file in inside if file.shard == shard]
        with scanning(uris, later=True) as rows:
            ahead = (
                rows.filter(_AHEAD.is_not_null())
                .select("event_id", "video_id", "occurred_at", "clock_ahead_ms", hour, name_of("producer_id"))
                .rename({"producer_id": "producer"})
                .filter(pl.col("hour").is_in(sorted(near)))
                .collect()
            )
        if ahead.height:
            audited = ahead.filter(pl.col("hour").is_in(sorted(hours)))
            by_its_clock = ("event_id", "video_id", pl.col("occurred_at") + _AHEAD)
            seen = ahead.group_by(*by_its_clock).agg(pl.col("producer").first(), pl.col("hour").n_unique())
            yield (
                audited.group_by("producer", "clock_ahead_ms").len(),
                seen.filter(pl.col("hour") > 1).group_by("producer").len(),
            )
