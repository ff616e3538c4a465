"""`counts_hour` and `counts_day`: the cells of the batch view at one version, as Arrow, some thousand rows at once."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tallymark.buckets import Grain
from tallymark.cells import RESERVED, SHARDS, Row, row_of, shard_of
from tallymark.columns.keys import Keys
from tallymark.columns.packing import from_rows
from tallymark.columns.tallies import Tallies
from tallymark.columns.users import sketch_of
from tallymark.instants import DAY, MINUTE_MS
from tallymark.rows import PackedRow, tallies_in
from tallymark.sketch import Sketch
from tallymark.sql.narrow import Narrow
from tallymark.store import ViewStore

__all__ = ["GRAINS", "columns_of", "counts_in"]

GRAINS: Final = {"counts_hour": Grain.HOUR, "counts_day": Grain.DAY}
_ROWS_AT_ONCE: Final = 4_000
_FEW: Final = 384  # users, of whom a sketch keeps each
_OWN: Final = RESERVED.encode()
_LENGTH: Final = {Grain.HOUR: 60, Grain.DAY: DAY}
_SCHEMA: Final = pa.schema(
    [
        pa.field("video_id", pa.string()),
        pa.field("type", pa.string()),
        pa.field("start", pa.timestamp("ms", tz="UTC")),
        pa.field("count", pa.int64()),
        pa.field("sum", pa.decimal128(38, 0)),
        *(pa.field(name, pa.int64()) for name in ("min", "max", "users", "users_lower", "users_upper")),
        pa.field("complete", pa.bool_()),
    ]
)


def columns_of(table: str) -> str:
    """The columns as DuckDB is to have them. An hour is in the view when it is sealed; a day, as far as it is."""
    numbers = "count, CAST(sum AS HUGEINT) AS sum, min, max, users, users_lower, users_upper"
    return f"video_id, type, start, {numbers}{', complete' if GRAINS[table] is Grain.DAY else ''}"


def counts_in(
    store: ViewStore, grain: Grain, *, version: int, sealed_until: int, rows: Narrow
) -> Iterator[pa.RecordBatch]:
    """The cells of a version that hold something, by their rows' keys. `sealed_until`: its exact_until, epoch minutes.

    There is at least one batch. Raises StoreUnavailable, and Damaged for a row that cannot be read.
    """
    yield pa.RecordBatch.from_pylist([], schema=_SCHEMA)
    if rows.is_empty:
        return
    shards = range(SHARDS) if rows.videos is None else sorted({shard_of(video) for video in rows.videos})
    for shard in shards:
        keys = iter(_keys_of(store, shard, grain, rows))
        while some := list(islice(keys, _ROWS_AT_ONCE)):
            stored = store.get_rows(some, version=version)
            if found := [stored[key] for key in some if key in stored]:
                yield _batch(_tallies_of(grain, found), sealed_until)


def _keys_of(store: ViewStore, shard: int, grain: Grain, rows: Narrow) -> Iterator[bytes]:
    heads = None if rows.videos is None else tuple(video.encode() + b"\0" for video in rows.videos)
    longest = DAY if grain is Grain.HOUR else 31 * DAY  # of a row
    since, until = rows.since // MINUTE_MS - longest, -(-rows.until // MINUTE_MS)
    for key in store.row_keys(shard, grain):
        if key.startswith(_OWN, 1) or (heads is not None and not key.startswith(heads, 1)):
            continue
        if since < int.from_bytes(key[-4:], "big") < until:
            yield key


def _tallies_of(grain: Grain, rows: Sequence[PackedRow]) -> Tallies:
    at = [row_of(row.key) for row in rows]
    pairs = pl.DataFrame({"video_id": [row.video_id for row in at], "type": [row.type for row in at]})
    keys = Keys(pairs)
    try:
        return _unpacked(grain, keys, keys.numbers(pairs), at, rows)
    except ValueError:
        for row in rows:
            tallies_in(row)  # says which it is
        raise


def _unpacked(
    grain: Grain, keys: Keys, key: npt.NDArray[np.int64], at: Sequence[Row], rows: Sequence[PackedRow]
) -> Tallies:
    return from_rows(
        grain,
        keys,
        key=key,
        row_start=np.array([row.start for row in at], dtype=np.int64),
        numbers=[row.numbers for row in rows],
        users=[row.users for row in rows],
    )


def _batch(tallies: Tallies, sealed_until: int) -> pa.RecordBatch:
    videos, types = zip(*(tallies.keys[number] for number in range(len(tallies.keys))), strict=True)
    key = pa.array(tallies.key)
    users, lower, upper = _users_of(tallies)
    return pa.record_batch(
        [
            pa.array(videos).take(key),
            pa.array(types).take(key),
            pa.array(tallies.start * MINUTE_MS).cast(_SCHEMA.field("start").type),
            pa.array(tallies.count),
            pa.array(tallies.total.tolist(), type=_SCHEMA.field("sum").type),
            *(pa.array(column) for column in (tallies.low, tallies.high, users, lower, upper)),
            pa.array(tallies.start + _LENGTH[tallies.grain] <= sealed_until),
        ],
        schema=_SCHEMA,
    )


def _users_of(tallies: Tallies) -> npt.NDArray[np.int64]:
    """How many users, at least and at most, of each, in whole users as answers have them."""
    first, coupons = tallies.coupons()
    known = np.diff(first)
    found = _of_few()[:, np.minimum(known, _FEW)].copy()
    for at in np.nonzero((known > _FEW) | tallies.crowded)[0]:
        found[:, at] = _whole(sketch_of(coupons[first[at] : first[at + 1]]))
    return found


@lru_cache(maxsize=1)
def _of_few() -> npt.NDArray[np.int64]:
    """What a sketch says that knows 0, 1 … users: it depends on nothing but how many they are."""
    coupons = struct.pack(f"<{_FEW}I", *(1 << 26 | number for number in range(_FEW)))
    each = [(0, 0, 0), *(_whole(Sketch.of_coupons(coupons[: 4 * users])) for users in range(1, _FEW + 1))]
    return np.array(each, dtype=np.int64).T


def _whole(users: Sketch) -> tuple[int, int, int]:
    value, lower, upper = users.estimate()
    return round(value), math.floor(lower), math.ceil(upper)
