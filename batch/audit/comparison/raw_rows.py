"""Raw rows of a day as the speed layer met them: which copy came first, and which it may have counted again.

The speed layer knows an id for `memory` after its last copy, by the log's time, in the partition where it met it. So a
copy may have been counted again if the copy before it in its own partition lies at least that far back, or if there is
none: then partitions were added, and the first copy lies in another one. It may have been known all the same, since
memory ends some time after that, and with a micro-batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from batch.counting.count import IDENTITY, LOG_ORDER
from tallymark.instants import DAY, MINUTE_MS, length_ms
from tallymark.raw import RawFile, scanning
from tallymark.raw.marks import MARK, with_marks

__all__ = ["judged"]

_SCHEMA: Final = {
    **dict.fromkeys(("event_id", "video_id", "type"), pl.String),
    **dict.fromkeys(("hour", "minute", "occurred_at", *LOG_ORDER, "shard", "lag"), pl.Int64),
    **dict.fromkeys(("counts", "forgotten"), pl.Boolean),
}


def judged(files: Sequence[RawFile], day: int, *, shards: Collection[int], memory: timedelta) -> pl.DataFrame:
    """The rows of `day` (start in epoch minutes) in `shards`, in the order of the log.

    Columns: event_id, video_id, type, shard; hour and minute, epoch minutes; occurred_at and appended_at, epoch ms;
    lag, how many ms after it occurred the log took it; counts, whether it is the first copy and not marked; forgotten,
    whether it is another one that the speed layer may have counted.
    """
    mine = [file for file in files if day in file.on_days and file.shard in shards]
    if not mine:
        return pl.DataFrame(schema=_SCHEMA)
    since_copy = pl.col("appended_at") - pl.col("appended_at").shift(1).over([*IDENTITY, "log_partition"])
    return (
        pl.concat(list(_rows(mine, day)))
        .sort(LOG_ORDER)
        .with_columns(
            lag=(pl.col("appended_at") - pl.col("occurred_at")).clip(lower_bound=0),
            first=pl.struct(IDENTITY).is_first_distinct(),
            far=since_copy.is_null() | (since_copy >= length_ms(memory)),
        )
        .with_columns(
            counts=pl.col("first") & pl.col(MARK).is_null(),
            forgotten=~pl.col("first") & pl.col("far") & pl.col(MARK).is_null(),
        )
        .select(pl.col(name).cast(as_type) for name, as_type in _SCHEMA.items())
    )


def _rows(files: Sequence[RawFile], day: int) -> Iterable[pl.DataFrame]:
    minute = pl.col("occurred_at") // MINUTE_MS
    on_day = pl.col("occurred_at").is_between(day * MINUTE_MS, (day + DAY) * MINUTE_MS, closed="left")
    for shard in {file.shard for file in files}:
        uris = [file.uri for file in files if file.shard == shard]
        with scanning(uris) as rows:
            plain = (
                rows.filter(on_day)
                .select("event_id", "video_id", "type", "occurred_at", *LOG_ORDER)
                .with_columns(minute=minute, hour=minute - minute % 60, shard=pl.lit(shard))
                .collect()
            )
        yield with_marks(plain, uris, on_day)
