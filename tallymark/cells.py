"""Cells and their row keys: (video, type, bucket) → tally, laid out so that any range is a handful of rows (ADR 7).

A row holds the adjacent buckets of one grain, each at its offset: a minute row spans an hour (60 cells), an hour row a
day, a day row a month, a month row a year. The row key is

    shard (1 byte) | video_id | 00 | type | 00 | grain (1 byte) | row start (epoch minutes, 4 bytes, big-endian)

so keys of one video, type and grain sort by time, and ids, which hold no control characters, cannot run together.
Video ids that begin with `RESERVED` belong to Tallymark itself (what a recount has counted is kept in such cells); no
event can have one, and whoever walks a whole shard passes over them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from tallymark.buckets import Bucket, Grain, Span
from tallymark.instants import DAY, HOUR, Minute, instant, minute_of
from tallymark.tally import Tally

__all__ = [
    "HOUR_STEPS",
    "RESERVED",
    "SHARDS",
    "STEP_MS",
    "Cell",
    "CellKey",
    "CellSpan",
    "LateCell",
    "Row",
    "bucket_at",
    "bucket_starts",
    "key_head",
    "of_head",
    "place",
    "row_key",
    "row_of",
    "row_tail",
    "shard_of",
]

SHARDS: Final = 16
RESERVED: Final = "\x01"
STEP_MS: Final = 2_000
"""The length of a step of the log's time, in ms: late cells are kept by steps, and a recount ends at one."""
HOUR_STEPS: Final = 1800
_BEYOND: Final = 255
_TAIL = struct.Struct(">BI")


class CellKey(NamedTuple):
    video_id: str
    type: str
    bucket: Bucket


class Cell(NamedTuple):
    video_id: str
    type: str
    bucket: Bucket
    tally: Tally

    @property
    def key(self) -> CellKey:
        return CellKey(self.video_id, self.type, self.bucket)


class LateCell(NamedTuple):
    """What came late for one minute, in one step of the log's time: step 885 begins at `appended_at` 1 770 000 ms.

    A recount counts the rows of whole steps, so each late cell is wholly in a version or wholly not (ADR 46).
    """

    video_id: str
    type: str
    step: int
    minute: Minute
    tally: Tally


class CellSpan(NamedTuple):
    """Adjacent cells of one video and type: what a reader asks a view for (ADR 8)."""

    video_id: str
    type: str
    span: Span

    @classmethod
    def all(cls, video_id: str, type: str, spans: Iterable[Span]) -> list[CellSpan]:
        return [cls(video_id, type, span) for span in spans]

    def rows(self) -> Iterator[tuple[bytes, int, int]]:
        """(row key, first offset, last offset) of each row that the span touches, in order."""
        grain, at, end = self.span
        while at < end:
            row_start, first = place(Bucket(grain, at))
            row_end = _next_row(grain, row_start)
            last = place(Span(grain, at, Minute(min(end, row_end))).last)[1]
            yield row_key(self.video_id, self.type, grain, row_start), first, last
            at = Minute(row_end)

    def offsets_in(self, row: bytes) -> tuple[int, int]:
        """(first offset, last offset) of the span in a row that it touches, by the row's key; past the end, 255."""
        row_start = int.from_bytes(row[-4:], "big")
        first_row, first = place(self.span.first)
        last_row, last = place(self.span.last)
        return first if row_start == first_row else 0, last if row_start == last_row else _BEYOND


class Row(NamedTuple):
    """A decoded row key; `start` in epoch minutes."""

    shard: int
    video_id: str
    type: str
    grain: Grain
    start: int


def shard_of(video_id: str) -> int:
    """Which of the 16 shards holds the video: crc32 of its UTF-8 bytes, mod 16. Fixed for the life of a store."""
    return zlib.crc32(video_id.encode()) % SHARDS


def place(bucket: Bucket) -> tuple[int, int]:
    """(row start in epoch minutes, offset in the row) of a bucket.

    Minute 12:34 lies at offset 34 of the row 12:00; March 2026 at offset 2 of the row 2026-01-01.
    """
    grain, start = bucket
    if grain is Grain.MINUTE:
        return start - start % HOUR, start % HOUR
    if grain is Grain.HOUR:
        return start - start % DAY, start % DAY // HOUR
    if grain is Grain.DAY:
        month = Grain.MONTH.floor(start)
        return month, (start - month) // DAY
    at = instant(start)
    return minute_of(at.replace(month=1)), at.month - 1


def bucket_at(grain: Grain, row_start: int, offset: int) -> Bucket:
    """The inverse of `place`."""
    if grain is Grain.MONTH:
        return _month_at(row_start, offset)
    return Bucket(grain, Minute(row_start + offset * (1, HOUR, DAY)[grain]))


def bucket_starts(grain: Grain, row_start: int) -> Sequence[Minute]:
    """Of all offsets in a row, the start of the bucket there."""
    if grain is Grain.MONTH:
        return [_month_at(row_start, offset).start for offset in range(12)]
    return range(row_start, row_start + 60 * (step := (1, HOUR, DAY)[grain]), step)  # type: ignore[return-value]


@lru_cache(maxsize=2048)
def _month_at(year: int, offset: int) -> Bucket:
    start = year
    for _ in range(offset):
        start = Grain.MONTH.next(Minute(start))
    return Bucket(Grain.MONTH, Minute(start))


def row_key(video_id: str, type: str, grain: Grain, row_start: int) -> bytes:
    return key_head(video_id, type) + row_tail(grain, row_start)


def row_tail(grain: Grain, row_start: int) -> bytes:
    """What a row's key ends with, after its `key_head`."""
    return _TAIL.pack(grain, row_start)


def key_head(video_id: str, type: str) -> bytes:
    """What the keys of all rows of a video and type begin with, and those of no other."""
    video = video_id.encode()
    return b"".join((bytes((zlib.crc32(video) % SHARDS,)), video, b"\0", type.encode(), b"\0"))


def of_head(head: bytes) -> tuple[str, str]:
    """The video and type of a `key_head`. Raises ValueError when it is none."""
    parts = head[1:].split(b"\0")
    if len(parts) != 3 or parts[2]:
        raise ValueError(f"not a row key, or what one begins with: {head.hex()}")
    return parts[0].decode(), parts[1].decode()


def row_of(key: bytes) -> Row:
    """Decode a row key. Raises ValueError when it is not one."""
    if len(key) < 1 + _TAIL.size:
        raise ValueError(f"not a row key: {key.hex()}")
    video_id, type_ = of_head(key[: -_TAIL.size])
    grain, start = _TAIL.unpack(key[-_TAIL.size :])
    return Row(key[0], video_id, type_, Grain(grain), start)


def _next_row(grain: Grain, row_start: int) -> int:
    if grain is Grain.DAY:
        return Grain.MONTH.next(Minute(row_start))
    if grain is Grain.MONTH:
        return bucket_at(Grain.MONTH, row_start, 12).start
    return row_start + (HOUR, DAY)[grain]
