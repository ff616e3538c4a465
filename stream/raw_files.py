"""The executors' half of the archive: decoded records become Parquet files; the driver then commits them all at once.

A file holds the rows of one day and shard, sorted by occurred_at, so that the min/max of a row group picks out an
hour. Names are unique to the attempt that wrote them: what a crashed attempt left behind is never referenced.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from stream.dead_letters import DeadLetter, bury
from stream.decoding import DECODED
from tallymark.cells import shard_of
from tallymark.settings import Settings
from tallymark.wiring import open_store

__all__ = ["RAW", "WRITTEN", "RawFile", "writing"]

_FILE_COLUMNS: Final = [field for field in DECODED if field.name not in {"reason", "field", "record"}]
RAW: Final = pa.schema([*_FILE_COLUMNS, ("day", pa.string()), ("shard", pa.int32())])
WRITTEN: Final = "file string"  # what a task reports: one RawFile a row, as JSON
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000


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


def writing(
    settings: Settings, *, late_before_ms: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over decoded records: writes what decodes, buries what does not."""

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        records = pa.Table.from_batches(batches, schema=DECODED)
        _bury_malformed(settings, records)
        files = list(_write_files(settings.raw_uri, _events(records), late_before_ms))
        yield pa.RecordBatch.from_pydict({"file": [msgspec.json.encode(file).decode() for file in files]})

    return write


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


def _events(records: pa.Table) -> pa.Table:
    """The events among the records, with their epoch day and shard, in the order in which files are cut."""
    events = records.filter(pc.is_null(records["reason"])).select([field.name for field in _FILE_COLUMNS])
    videos = pc.dictionary_encode(events["video_id"].combine_chunks())
    shards = np.array([shard_of(video) for video in videos.dictionary.to_pylist()], dtype=np.int32)
    days = events["occurred_at"].to_numpy() // _DAY_MS
    events = events.append_column("shard", pa.array(shards[videos.indices.to_numpy()], type=pa.int32()))
    events = events.append_column("day", pa.array(days.astype(np.int32)))
    return events.sort_by([("day", "ascending"), ("shard", "ascending"), ("occurred_at", "ascending")])


def _write_files(uri: str, events: pa.Table, late_before_ms: int) -> Iterator[RawFile]:
    filesystem, root = fs.FileSystem.from_uri(uri)
    days, shards = events["day"].to_numpy(), events["shard"].to_numpy()
    changes = np.flatnonzero((np.diff(days) != 0) | (np.diff(shards) != 0)) + 1
    edges = [0, *changes.tolist(), events.num_rows]
    for first, last in pairwise(edges):
        if first == last:
            continue
        day = str(np.datetime64(int(days[first]), "D"))
        shard = int(shards[first])
        path = f"day={day}/shard={shard}/{uuid.uuid4()}.parquet"
        rows = events.slice(first, last - first).drop_columns(["day", "shard"])
        filesystem.create_dir(f"{root}/{path.rpartition('/')[0]}", recursive=True)
        pq.write_table(rows, f"{root}/{path}", filesystem=filesystem, compression="zstd")
        occurred = rows["occurred_at"].to_numpy()
        yield RawFile(
            path=path,
            size=filesystem.get_file_info(f"{root}/{path}").size,
            rows=rows.num_rows,
            day=day,
            shard=shard,
            occurred=(int(occurred[0]), int(occurred[-1])),
            late=_rows_by_hour(occurred[occurred < late_before_ms]),
        )


def _rows_by_hour(occurred: np.ndarray) -> dict[str, int]:
    hours, rows = np.unique(occurred // _HOUR_MS, return_counts=True)
    return {str(hour * 60): count for hour, count in zip(hours.tolist(), rows.tolist(), strict=True)}
