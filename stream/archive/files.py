"""The executors' half of the archive: records become Parquet files; the driver then commits them all at once.

A file holds the rows of one day and shard, sorted by occurred_at, so that the min/max of a row group picks out an
hour. Names are unique to the attempt that wrote them: what a crashed attempt left behind is never referenced.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stream.decoding import DECODED
from stream.log.spark_source import decoding
from tallymark.cells import SHARDS, shard_of
from tallymark.documents.dead_letters import DeadLetter, bury
from tallymark.errors import TallymarkError
from tallymark.raw.place import RawPlace, raw_place
from tallymark.settings import Settings
from tallymark.store.open import open_store

__all__ = ["RAW", "WRITTEN", "RawFile", "Written", "write_files", "writing"]

_FILE_COLUMNS: Final = [field for field in DECODED if field.name not in {"reason", "field", "record"}]
RAW: Final = pa.schema([*_FILE_COLUMNS, ("day", pa.string()), ("shard", pa.int32())])
WRITTEN: Final = "report string"  # a row a task: one Written, as JSON
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_ROWS_AT_ONCE: Final = 250_000  # bounds a worker's memory, where a task brings more
_REPEATING: Final = ["type", "video_id", "user_id", "producer_id", "log_partition"]


class RawFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an executor wrote: `path` relative to the table, `occurred` its first and last (epoch ms).

    `late`: rows by hour (start in epoch minutes, as text) before the instant that the driver gave.
    """

    path: str
    size: int
    rows: int
    day: str
    shard: int
    occurred: tuple[int, int]
    late: dict[str, int]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a task did: its files, or in our own words why it could not write them (`retriable`: perhaps later)."""

    files: list[RawFile] = []
    error: str | None = None
    retriable: bool = False


def writing(
    settings: Settings, *, late_before_ms: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over undecoded records: writes what decodes, buries what does not."""

    decode = decoding(settings)

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        report = _write(settings, decode(batches), late_before_ms)
        yield pa.RecordBatch.from_pydict({"report": [msgspec.json.encode(report).decode()]})

    return write


def _write(settings: Settings, batches: Iterable[pa.RecordBatch], late_before_ms: int) -> Written:
    files: list[RawFile] = []
    try:
        for records in _tables(batches):
            _bury_malformed(settings, records)
            files += write_files(raw_place(settings.raw_uri), records, late_before_ms=late_before_ms)
    except TallymarkError as error:  # in its own words, not in Spark's stack traces
        return Written(error=str(error), retriable=error.retriable)
    return Written(files=files)


def _tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    taken: list[pa.RecordBatch] = []
    for batch in batches:
        taken.append(batch)
        if sum(one.num_rows for one in taken) >= _ROWS_AT_ONCE:
            yield pa.Table.from_batches(taken, schema=DECODED)
            taken = []
    yield pa.Table.from_batches(taken, schema=DECODED)


def _bury_malformed(settings: Settings, records: pa.Table) -> None:
    malformed = records.filter(pc.is_valid(records["reason"]))
    if not malformed.num_rows:
        return
    names = DeadLetter.__struct_fields__
    letters = [DeadLetter(**row) for row in malformed.select(names).to_pylist()]
    store = open_store(settings)
    for partition in {letter.log_partition for letter in letters}:
        bury(store, [letter for letter in letters if letter.log_partition == partition])
    store.close()


def write_files(place: RawPlace, records: pa.Table, *, late_before_ms: int) -> list[RawFile]:
    """Put the events among decoded `records`, a file for each day and shard. Raises RawRefused or RawUnavailable."""
    events = records.select([field.name for field in _FILE_COLUMNS])
    if records["reason"].null_count < records.num_rows:
        events = events.filter(pc.is_null(records["reason"]))
    if not events.num_rows:
        return []
    occurred = events["occurred_at"].to_numpy()
    # day and shard as one number: 2026-02-01, which is day 20485, and shard 3 are 20485 * 16 + 3 = 327763
    group = occurred // _DAY_MS * SHARDS + _shards(events["video_id"])
    order = np.lexsort((occurred, group))
    group, events = group[order], events.take(order)
    edges = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), events.num_rows]
    pieces = [(int(group[first]), events.slice(first, last - first)) for first, last in pairwise(edges)]
    put = partial(_put, place, late_before_ms)
    if place.at_once == 1:
        return [put(piece) for piece in pieces]
    with ThreadPoolExecutor(place.at_once) as pool:
        return list(pool.map(put, pieces))


def _shards(videos: pa.ChunkedArray) -> np.ndarray:
    """The shard of each video."""
    encoded = pc.dictionary_encode(videos.combine_chunks())
    shards = np.array([shard_of(video) for video in encoded.dictionary.to_pylist()], dtype=np.int64)
    of_each: np.ndarray = shards[encoded.indices.to_numpy()]
    return of_each


def _put(place: RawPlace, late_before_ms: int, piece: tuple[int, pa.Table]) -> RawFile:
    group, rows = piece
    day, shard = divmod(group, SHARDS)
    name = str(np.datetime64(day, "D"))
    path = f"day={name}/shard={shard}/{uuid.uuid4()}.parquet"
    body = _parquet(rows)
    place.put(path, memoryview(body))
    occurred = rows["occurred_at"].to_numpy()
    return RawFile(
        path=path,
        size=body.size,
        rows=rows.num_rows,
        day=name,
        shard=shard,
        occurred=(int(occurred[0]), int(occurred[-1])),
        late=_rows_by_hour(occurred[occurred < late_before_ms]),
    )


def _parquet(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=_REPEATING, write_statistics=["occurred_at"])
    return sink.getvalue()


def _rows_by_hour(occurred: np.ndarray) -> dict[str, int]:
    hours, rows = np.unique(occurred // _HOUR_MS, return_counts=True)
    return {str(hour * 60): count for hour, count in zip(hours.tolist(), rows.tolist(), strict=True)}
