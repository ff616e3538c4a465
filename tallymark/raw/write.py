"""Rows become Parquet files of the raw table, each put whole under a name that nobody else uses.

What a crashed attempt left behind is never referenced: only a commit (`commits`) makes files part of the table.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tallymark.cells import SHARDS, shard_of
from tallymark.instants import DAY, DAY_MS
from tallymark.raw.errors import explaining
from tallymark.raw.files import RawFile, new_path, place_name, place_of
from tallymark.raw.s3 import S3, is_s3

__all__ = ["write_files"]

_Ints = npt.NDArray[np.int64]
_AT_ONCE: Final = 8  # a put to S3 mostly waits
_REPEATING: Final = [
    *("type", "video_id", "user_id", "producer_id", "log_partition", "not_counted"),
    *("attributes.key_value.key", "attributes.key_value.value"),
]

_SOUGHT: Final = ["occurred_at", "clock_ahead_ms", "not_counted"]  # by whoever passes over what has none of it
_ROW_GROUP: Final = 131_072  # rows: of a year's file, a recount of a day reads those that the day is in
_MANY: Final = 64  # files, from which on a write is looked at for days with few rows: live traffic has 16 or 32
_FEW: Final = 4096  # rows of a day and shard, about 100 kB, that are worth a file of their own then
_YEAR: Final = SHARDS  # what is added to the shard of a year's file, see `_groups`


def write_files(uri: str, rows: pa.Table) -> list[RawFile]:
    """Put `rows` (`schema.ROW`), a file for each day and shard, sorted by occurred_at: so a file's or row group's
    min/max picks out an hour. Raises RawRefused or RawUnavailable.

    Of rows that are scattered over more than `_MANY` days and shards, days with fewer than `_FEW` rows share a file of
    their year and shard. So there are at most rows / _FEW + _MANY + 16 for each year, however they are scattered.
    """
    if not rows.num_rows:
        return []
    occurred = rows["occurred_at"].to_numpy()
    group = _groups(occurred // DAY_MS, _shards(rows["video_id"]))
    order = np.lexsort((occurred, group))
    group, rows = group[order], rows.take(order)
    edges = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), rows.num_rows]
    pieces = [(int(group[first]), rows.slice(first, last - first)) for first, last in pairwise(edges)]
    storage = _storage_of(uri)
    put = partial(_put, uri, storage)
    if storage.at_once == 1:
        return [put(piece) for piece in pieces]
    with ThreadPoolExecutor(storage.at_once) as pool:
        return list(pool.map(put, pieces))


def _put(uri: str, storage: _Storage, piece: tuple[int, pa.Table]) -> RawFile:
    group, rows = piece
    day, shard = divmod(group, 2 * SHARDS)
    place = place_name(day * DAY, days=1 if shard < _YEAR else 2)
    shard %= SHARDS
    path = new_path(place, shard)
    body = _parquet(rows)
    with explaining(uri):
        storage.put(path, memoryview(body))
    occurred = rows["occurred_at"].to_numpy()
    return RawFile(
        uri=f"{uri}/{path}",
        day=day * DAY,
        days=place_of(place)[1],
        shard=shard,
        rows=rows.num_rows,
        first_ms=int(occurred[0]),
        last_ms=int(occurred[-1]),
        written_ms=time.time_ns() // 1_000_000,
        size=body.size,
        appended_ms=pc.max(rows["appended_at"]).as_py(),
    )


def _groups(day: _Ints, shard: _Ints) -> _Ints:
    """Where each row goes, as one number: 2026-02-01, which is day 20485, and shard 3 are 20485 * 32 + 3; the days of
    2026 with few rows, of which the first is 20454, 20454 * 32 + 16 + 3."""
    group: _Ints = day * (2 * SHARDS) + shard
    groups, of_each, rows = np.unique(group, return_inverse=True, return_counts=True)
    if len(groups) <= _MANY:
        return group
    year = (groups // (2 * SHARDS)).astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]")
    shared = year.astype(np.int64) * (2 * SHARDS) + _YEAR + groups % (2 * SHARDS)
    return np.where(rows < _FEW, shared, groups)[of_each]


def _shards(videos: pa.ChunkedArray) -> np.ndarray:
    """The shard of each video."""
    encoded = pc.dictionary_encode(videos.combine_chunks())
    shards = np.array([shard_of(video) for video in encoded.dictionary.to_pylist()], dtype=np.int64)
    of_each: np.ndarray = shards[encoded.indices.to_numpy()]
    return of_each


def _parquet(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression="zstd",
        use_dictionary=_REPEATING,
        write_statistics=_SOUGHT,
        row_group_size=_ROW_GROUP,
    )
    return sink.getvalue()


class _Storage(NamedTuple):
    """`put(path, body)`: `path` is relative to the table. It is sensible to put `at_once` files in as many threads."""

    put: Callable[[str, memoryview], None]
    at_once: int


@lru_cache(maxsize=1)
def _storage_of(uri: str) -> _Storage:
    """A worker serves many tasks: it connects once."""
    return _bucket(uri) if is_s3(uri) else _folder(Path(uri))


def _folder(root: Path) -> _Storage:
    def put(path: str, body: memoryview) -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    return _Storage(put, at_once=1)


def _bucket(uri: str) -> _Storage:
    import boto3
    from botocore.config import Config

    bucket, _, root = uri.removeprefix("s3://").rstrip("/").partition("/")
    s3 = S3.of(os.environ)
    config = Config(max_pool_connections=_AT_ONCE, **s3.for_boto_config())
    client: Any = boto3.client("s3", config=config, **s3.for_boto())

    def put(path: str, body: memoryview) -> None:
        client.put_object(Bucket=bucket, Key=f"{root}/{path}", Body=bytes(body))

    return _Storage(put, at_once=_AT_ONCE)
