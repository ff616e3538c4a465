"""What a task makes of the part of a partition that a micro-batch reads: decode → drop copies → partial tallies.

A pure function but for the memory of ids, which it is given; Spark adds up what it returns (see `query`). The first
copy of an event also says whether it counts at all: one that is marked is remembered, and tallied nowhere.

An event is *late* (ADR 46) when the log took it more than `lateness` after it occurred. Late events are tallied by the
step of the log's time that they came in as well, so that a recount, which ends at a step, has all of such a tally or
nothing of it. The log's time never goes back here: a record that is stamped before an earlier one of its partition
counts as taken with that one.

Worked example, lateness 30 s: an event of 12:00:10 that was taken at 12:00:40.000 is tallied in minute 12:00; taken a
millisecond later, in minute 12:00 and the step from 12:00:40.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

import polars as pl
import polars_hash  # noqa: F401 - adds `nchash` to expressions
import pyarrow as pa

from stream.log.spark_source import Portion
from stream.speed.memory import Memory
from tallymark.cells import STEP_MS
from tallymark.columns.users import NOBODY, coupons_of
from tallymark.instants import HOUR_MS, MINUTE_MS
from tallymark.sketch import COUPON_BYTES, Sketch

__all__ = ["PARTIALS", "identities", "partial_tallies"]

PARTIALS: Final = pa.schema(
    [
        ("video_id", pa.string()),
        ("type", pa.string()),
        ("minute", pa.int64()),  # epoch minutes
        ("step", pa.int64()),  # of appended_at, in STEP_MS; null of what is not late
        ("count", pa.int64()),
        ("sum", pa.int64()),
        ("min", pa.int64()),
        ("max", pa.int64()),
        ("users", pa.binary()),  # a sketch; null without users
    ]
)
_KEY: Final = ["video_id", "type", "minute", "step"]


def partial_tallies(
    portions: Sequence[Portion], memory: Memory, *, micro_batch: int, lateness_ms: int, since: int
) -> pa.RecordBatch:
    """What one partition brought in a micro-batch, in the order of the log, as PARTIALS.

    Events that are not late are tallied from epoch minute `since` on.
    """
    before_ms = memory.newest_ms(micro_batch)
    first_ms = max(before_ms, min(portion.first_ms for portion in portions))
    newest_ms = max(before_ms, *(portion.newest_ms for portion in portions))
    taken = pl.col("appended_at").cum_max().clip(lower_bound=before_ms)
    events = pl.concat(map(_frame, portions)).with_columns(appended_at=taken)
    fresh = memory.add(micro_batch, identities(events).to_numpy(), first_ms=first_ms, newest_ms=newest_ms)
    return _tallied(events.filter(pl.Series(fresh) & pl.col("not_counted").is_null()), lateness_ms, since)


def identities(events: pl.DataFrame) -> pl.Series:
    """A hash of (event_id, video_id, hour; see `tallymark.event.identity`), the same in every version and process:
    XXH64 of the UTF-8 of the three, separated by NUL, which no id holds.

    Of two different events among 10^7 that are remembered, some share a hash once in about 10^5 such memories (the
    birthday bound, n²/2^65; ADR 15); one of them is then not counted until the recount, which compares ids in full.
    """
    hour = (pl.col("occurred_at") // HOUR_MS).cast(pl.String)
    joined = pl.concat_str("event_id", "video_id", hour, separator="\0")
    return events.select(joined.nchash.xxhash64().alias("id"))["id"]  # type: ignore[attr-defined]


def _frame(portion: Portion) -> pl.DataFrame:
    return cast("pl.DataFrame", pl.from_arrow(portion.events))


def _tallied(events: pl.DataFrame, lateness_ms: int, since: int) -> pa.RecordBatch:
    late = pl.col("appended_at") - pl.col("occurred_at") > lateness_ms
    keyed = events.with_columns(
        minute=pl.col("occurred_at") // MINUTE_MS,
        step=pl.when(late).then(pl.col("appended_at") // STEP_MS),
        coupon=pl.Series(coupons_of(events["user_id"])),
    ).filter(pl.col("step").is_not_null() | (pl.col("minute") >= since))
    value, coupon = pl.col("value"), pl.col("coupon")
    tallies = keyed.group_by(_KEY).agg(
        pl.len().cast(pl.Int64).alias("count"),
        value.sum().alias("sum"),
        value.min().alias("min"),
        value.max().alias("max"),
        coupon.filter(coupon != NOBODY).unique().alias("users"),
    )
    columns = [tallies[name].to_arrow().cast(PARTIALS.field(name).type) for name in PARTIALS.names[:-1]]
    return pa.RecordBatch.from_arrays([*columns, _sketches(tallies["users"])], schema=PARTIALS)


def _sketches(users: pl.Series) -> pa.Array:
    """The stored sketch of each list of coupons; null of an empty one."""
    ends = users.list.len().cum_sum().to_numpy() * COUPON_BYTES
    coupons = users.explode(empty_as_null=False).to_numpy().astype("<u4", copy=False).tobytes()
    stored = [
        Sketch.of_coupons(coupons[start:end]).to_bytes() if end > start else None
        for start, end in pairwise([0, *ends.tolist()])
    ]
    return pa.array(stored, pa.binary())
