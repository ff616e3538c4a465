"""Which numbers of each producer's sequence arrived, as runs without a hole.

    numbers 0 1 2 3 _ _ 6 7    are the runs [0, 3] and [6, 7], and the hole between them lacks 2

A run says where and when its ends are: `first_at` and `last_at` are when they occurred, `first_in` and `last_in` when
the log took them, epoch ms. Of copies, the one that the log took first. Union is commutative, associative and
idempotent: rows may come in any order, in any portions, and twice.

A sequence begins with the lowest number that arrived: what came before it, if anything did, is not known to be missing.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from tallymark.instants import HOUR, HOUR_MS

__all__ = ["NO_RUNS", "holes", "runs_of", "union"]

_ENDS: Final = ("first_at", "last_at", "first_in", "last_in")
_SCHEMA: Final = {"producer": pl.String, **dict.fromkeys(("first", "last", *_ENDS), pl.Int64)}
NO_RUNS: Final = pl.DataFrame(schema=_SCHEMA)


def runs_of(rows: pl.DataFrame) -> pl.DataFrame:
    """The runs of rows with columns producer_id, seq, occurred_at and appended_at; none of the first two is null."""
    ordered = rows.sort("producer_id", "seq", "appended_at", "occurred_at")
    other = (pl.col("producer_id") != pl.col("producer_id").shift(1)).fill_null(value=True)
    step = pl.col("seq") - pl.col("seq").shift(1)  # within a producer; below 2^63, since numbers are not negative
    first_copies = ordered.filter(other | (step != 0))
    return (
        first_copies.with_columns(run=(other | (step > 1)).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            producer=pl.col("producer_id").first(),
            first=pl.col("seq").first(),
            last=pl.col("seq").last(),
            first_at=pl.col("occurred_at").first(),
            last_at=pl.col("occurred_at").last(),
            first_in=pl.col("appended_at").first(),
            last_in=pl.col("appended_at").last(),
        )
        .select(*_SCHEMA)
    )


def union(runs: pl.DataFrame) -> pl.DataFrame:
    """The fewest runs that hold the same numbers, by producer and number."""
    reach = pl.col("last").cum_max().shift(1).over("producer")
    # a difference, and not reach + 1, which does not exist for the greatest number
    apart = reach.is_null() | (pl.col("first") - reach > 1)
    return (
        runs.sort("producer", "first", "first_in", "first_at")
        .with_columns(run=apart.cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("producer", "first", "first_at", "first_in").first(),
            pl.col("last").max(),
            pl.col("last_at", "last_in").sort_by("last", "last_in", "last_at", descending=[True, False, False]).first(),
        )
        .select(*_SCHEMA)
    )


def holes(runs: pl.DataFrame) -> pl.DataFrame:
    """What lies between the runs of a `union`: producer; first and last, the numbers that are missing; missing, how
    many; start and end, epoch minutes on the hour between which they occurred; since, when the hole was there, epoch ms
    by the log's clock.
    """
    before = [pl.col(name).shift(1).over("producer").alias(f"before_{name}") for name in ("last", "last_at", "last_in")]
    ends = ("before_last_at", "first_at")
    return (
        runs.with_columns(before)
        .filter(pl.col("before_last").is_not_null())
        .select(
            "producer",
            first=pl.col("before_last") + 1,
            last=pl.col("first") - 1,
            missing=pl.col("first") - pl.col("before_last") - 1,
            start=pl.min_horizontal(ends) // HOUR_MS * HOUR,
            end=pl.max_horizontal(ends) // HOUR_MS * HOUR + HOUR,
            since=pl.max_horizontal("before_last_in", "first_in"),
        )
    )
