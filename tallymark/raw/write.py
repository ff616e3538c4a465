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
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tallymark.cells import SHARDS, shard_of
from tallymark.instants import DAY, DAY_MS
from tallymark.raw.errors import explaining
from tallymark.raw.files import RawFile, new_path
from tallymark.raw.s3 import S3, is_s3

__all__ = ["write_files"]

_AT_ONCE: Final = 8  # a put to S3 mostly waits
_REPEATING: Final = [
    *("type", "video_id", "user_id", "producer_id", "log_partition", "not_counted"),
    *("attributes.key_value.key", "attributes.key_value.value"),
]

_SOUGHT: Final = ["occurred_at", "clock_ahead_ms", "not_counted"]  # by whoever passes over what has none of it


def write_files(uri: str, rows: pa.Table) -> list[RawFile]:
    """Put `rows` (`schema.ROW`), a file for each day and shard, sorted by occurred_at: so a file's or row group's
    min/max picks out an hour. Raises RawRefused or RawUnavailable."""
    if not rows.num_rows:
        return []
    occurred = rows["occurred_at"].to_numpy()
    # day and shard as one number: 2026-02-01, which is day 20485, and shard 3 are 20485 * 16 + 3 = 327763
    group = occurred // DAY_MS * SHARDS + _shards(rows["video_id"])
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
    day, shard = divmod(group, SHARDS)
    path = new_path(day * DAY, shard)
    body = _parquet(rows)
    with explaining(uri):
        storage.put(path, memoryview(body))
    occurred = rows["occurred_at"].to_numpy()
    return RawFile(
        uri=f"{uri}/{path}",
        day=day * DAY,
        shard=shard,
        rows=rows.num_rows,
        first_ms=int(occurred[0]),
        last_ms=int(occurred[-1]),
        written_ms=time.time_ns() // 1_000_000,
        size=body.size,
        appended_ms=pc.max(rows["appended_at"]).as_py(),
    )


def _shards(videos: pa.ChunkedArray) -> np.ndarray:
    """The shard of each video."""
    encoded = pc.dictionary_encode(videos.combine_chunks())
    shards = np.array([shard_of(video) for video in encoded.dictionary.to_pylist()], dtype=np.int64)
    of_each: np.ndarray = shards[encoded.indices.to_numpy()]
    return of_each


def _parquet(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=_REPEATING, write_statistics=_SOUGHT)
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
