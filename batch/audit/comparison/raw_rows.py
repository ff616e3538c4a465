"""Raw rows of a day as the speed layer met them: which copy came first, how late it came, and whether it was too late.

The speed layer counts times in steps of ten seconds and drops what is not newer than its watermark: the newest step
that it has seen, less the lateness and one more step. In a micro-batch the watermark stands still, so rows that came
with the one that made them late may have been counted: `late` are those that can have been dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from tallymark.instants import DAY, MINUTE_MS, length_ms
from tallymark.raw import RawFile, scanning

__all__ = ["judged"]

_LOG_ORDER: Final = ["appended_at", "log_partition", "log_offset"]
_IDENTITY: Final = ["event_id", "video_id", "hour"]
_STEP_MS: Final = 10_000
_SCHEMA: Final = {
    **dict.fromkeys(("event_id", "video_id", "type"), pl.String),
    **dict.fromkeys(("hour", "minute", "at", "occurred_at", *_LOG_ORDER, "shard", "lag"), pl.Int64),
    **dict.fromkeys(("first", "late"), pl.Boolean),
}


def judged(files: Sequence[RawFile], day: int, *, shards: Collection[int], lateness: timedelta) -> pl.DataFrame:
    """The rows of `day` (start in epoch minutes) in `shards`.

    Columns: event_id, video_id, type, shard; hour and minute, epoch minutes; occurred_at and appended_at, epoch ms; at,
    occurred_at to the step; lag, how many ms of event time it came behind the newest event before it in the log; first,
    whether it is the copy that counts; late, whether the speed layer can have dropped it.
    """
    mine = [file for file in files if file.day == day and file.shard in shards]
    if not mine:
        return pl.DataFrame(schema=_SCHEMA)
    # what is newer than an event of this day, and came before it, happened on this day or on a later one
    newest = _newest_before([file for file in files if day <= file.day <= day + DAY])
    rows = pl.concat(list(_rows(mine))).join(newest, on=_LOG_ORDER, how="left")
    behind_ms = length_ms(lateness) + _STEP_MS
    step = pl.col("occurred_at") // _STEP_MS * _STEP_MS
    before = pl.col("newest").fill_null(pl.col("occurred_at"))
    return (
        rows.with_columns(
            at=step,
            lag=(before - pl.col("occurred_at")).clip(lower_bound=0),
            late=step <= before // _STEP_MS * _STEP_MS - behind_ms,
        )
        .sort(_LOG_ORDER)
        .with_columns(first=pl.struct(_IDENTITY).is_first_distinct())
        .select(pl.col(name).cast(as_type) for name, as_type in _SCHEMA.items())
    )


def _newest_before(files: Sequence[RawFile]) -> pl.DataFrame:
    """For each place in the log: the newest occurred_at of the rows before it."""
    with scanning([file.uri for file in files]) as stored:
        rows = stored.select(*_LOG_ORDER, "occurred_at").collect()
    ordered = rows.sort(_LOG_ORDER).with_columns(newest=pl.col("occurred_at").cum_max().shift(1))
    return ordered.select(*_LOG_ORDER, "newest")


def _rows(files: Sequence[RawFile]) -> Iterable[pl.DataFrame]:
    minute = pl.col("occurred_at") // MINUTE_MS
    for shard in {file.shard for file in files}:
        uris = [file.uri for file in files if file.shard == shard]
        with scanning(uris) as rows:
            yield (
                rows.select("event_id", "video_id", "type", "occurred_at", *_LOG_ORDER)
                .with_columns(minute=minute, hour=minute - minute % 60, shard=pl.lit(shard))
                .collect()
            )
