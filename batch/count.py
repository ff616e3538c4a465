"""The counting kernel: raw files in, minute and hour cells out (ADR 19). A plain function: its caller brings the files.

A shard holds all events of its videos, and an hour all copies of an event that are the same one (`event.identity`): so
any set of hours of one shard is counted without looking at anything else. Of copies, the first in the log counts,
wherever the copies lie. Sums are exact: values are added as 128-bit integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from tallymark.buckets import Bucket, Grain
from tallymark.cells import Cell, shard_of
from tallymark.instants import MINUTE_MS, Minute
from tallymark.raw import RawFile, scanning
from tallymark.sketch import Sketch
from tallymark.tally import ZERO, Tally

__all__ = ["Counted", "count", "rows_by_hour"]

_ROW: Final = {
    **dict.fromkeys(("event_id", "type", "video_id", "user_id"), pl.String),
    **dict.fromkeys(("minute", "hour", "value", "appended_at", "log_partition", "log_offset"), pl.Int64),
}
_LOG_ORDER: Final = ["appended_at", "log_partition", "log_offset"]
_IDENTITY: Final = ["event_id", "video_id", "hour"]
_ROWS_AT_ONCE: Final = 4_000_000  # of one column: 32 MB


@dataclass(frozen=True)
class Counted:
    """What `count` found. `rows`: raw rows by hour. `distinct`: the events that count; `copied`: rows with copies."""

    rows: Mapping[int, int]
    distinct: pl.DataFrame
    copied: pl.DataFrame

    @property
    def events(self) -> int:
        return self.distinct.height

    @property
    def last(self) -> int | None:
        """The last minute with an event."""
        latest: int | None = self.distinct["minute"].max()  # type: ignore[assignment]
        return latest

    def foreign(self, shard: int) -> int:
        """Events of videos that do not belong to `shard`: somebody put them into the wrong files."""
        videos = self.distinct.group_by("video_id").len()
        return sum(events for video_id, events in videos.iter_rows() if shard_of(video_id) != shard)

    def cells(self, grain: Grain) -> Iterator[Cell]:
        """The MINUTE or HOUR cells, in the order of their keys."""
        start = grain.name.lower()
        tallies = self.distinct.group_by("video_id", "type", start).agg(
            pl.len(),
            pl.col("value").cast(pl.Int128).sum().alias("sum"),
            pl.col("value").min().alias("min"),
            pl.col("value").max().alias("max"),
            # the rows are sorted by user: the same users give the same bytes, whatever order they came in
            pl.col("user_id").drop_nulls().unique(maintain_order=True).alias("users"),
        )
        for video, kind, at, rows, total, low, high, users in tallies.sort("video_id", "type", start).iter_rows():
            sketch = Sketch.of(users) if users else None
            yield Cell(video, kind, Bucket(grain, at), Tally(rows, total, low, high, sketch))

    def lost(self, grain: Grain) -> Iterator[Cell]:
        """ZERO for each key that only copies had which do not count: an earlier count may have counted them."""
        key = ["video_id", "type", grain.name.lower()]
        gone = self.copied.select(key).unique().join(self.distinct.select(key).unique(), on=key, how="anti")
        for video, kind, at in gone.iter_rows():
            yield Cell(video, kind, Bucket(grain, at), ZERO)


def count(files: Sequence[str], hours: Sequence[int], *, taken_before: int) -> Counted:
    """Count the rows in `files`, all of one shard, of `hours` (starts in epoch minutes). No files: nothing.

    `taken_before`: only rows that the log took before it, epoch ms.

    Raises RawRefused or RawUnavailable when the storage of the files does not give them.
    """
    rows = _read(files, hours, taken_before) if files else pl.DataFrame(schema=_ROW)
    # all copies of an event have its id: what has an id of its own, nearly all, needs no sorting
    repeated = rows["event_id"].is_duplicated()
    copied = rows.filter(repeated)
    first = copied.sort(_LOG_ORDER).unique(_IDENTITY, keep="first", maintain_order=True)
    distinct = pl.concat([rows.filter(~repeated), first]).drop(_LOG_ORDER).sort("user_id")
    return Counted(dict(rows.group_by("hour").len().iter_rows()), distinct, copied)


def _read(files: Sequence[str], hours: Sequence[int], taken_before: int) -> pl.DataFrame:
    start_ms, end_ms = min(hours) * MINUTE_MS, (max(hours) + 60) * MINUTE_MS
    minute = pl.col("occurred_at") // MINUTE_MS
    with scanning(files) as rows:
        return (
            rows.filter(pl.col("occurred_at").is_between(start_ms, end_ms, closed="left"))  # skips row groups
            .with_columns(minute=minute, hour=minute - minute % 60)
            .filter(pl.col("hour").is_in(hours) & (pl.col("appended_at") < taken_before))
            .select(pl.col(name).cast(as_type) for name, as_type in _ROW.items())
            .collect()
        )


def rows_by_hour(files: Sequence[RawFile], taken_before: int) -> Counter[tuple[int, int]]:
    """Rows by (hour start, shard) in `files` that the log took before `taken_before`, epoch ms.

    Reads when rows occurred and were taken, of the files that hold more than one hour or later rows. Rows outside of
    their file's day are left out: nobody would look for them there.
    """
    found: Counter[tuple[int, int]] = Counter()
    several: list[RawFile] = []
    for file in files:
        hour = Grain.HOUR.floor(Minute(file.first))
        if hour != Grain.HOUR.floor(Minute(file.last)) or file.appended_ms >= taken_before:
            several.append(file)
        elif Grain.DAY.floor(hour) == file.day:
            found[hour, file.shard] += file.rows
    for group in _groups(several):
        of = {file.uri: file for file in group}
        for uri, hour, rows in _rows_of(list(of), taken_before).iter_rows():
            if Grain.DAY.floor(hour) == of[uri].day:
                found[hour, of[uri].shard] += rows
    return found


def _rows_of(uris: list[str], taken_before: int) -> pl.DataFrame:
    """(file, hour start, rows)."""
    hour = pl.col("occurred_at") // (60 * MINUTE_MS) * 60
    with scanning(uris, include_file_paths="uri") as rows:
        return rows.filter(pl.col("appended_at") < taken_before).group_by("uri", hour).len().collect()


def _groups(files: Sequence[RawFile]) -> Iterator[list[RawFile]]:
    """The files in groups of at most `_ROWS_AT_ONCE` rows, or of one file."""
    group: list[RawFile] = []
    rows = 0
    for file in files:
        if group and rows + file.rows > _ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(file)
        rows += file.rows
    if group:
        yield group
