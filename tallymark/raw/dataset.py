"""Raw files as one Arrow dataset, for engines that push their filters down into it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSystem, LocalFileSystem, PyFileSystem

from tallymark.raw.files import RawFile
from tallymark.raw.s3 import S3, is_s3
from tallymark.raw.schema import ROW

__all__ = ["COLUMNS", "as_dataset"]

COLUMNS: Final = pa.schema([*ROW, pa.field("shard", pa.int32())])


def as_dataset(uri: str, files: Sequence[RawFile]) -> ds.Dataset:
    """The rows of `files`, which are of the table at `uri`, with their shard.

    A filter on shard or occurred_at leaves out the files, and then the row groups, that hold nothing of it. What
    a file lacks is null. Whoever reads gets the errors of Arrow: see `tallymark.raw.errors`.
    """
    if not files:
        return ds.dataset(COLUMNS.empty_table())
    storage = _storage(uri)
    form = ds.ParquetFileFormat()
    pieces = [
        form.make_fragment(
            file.uri if isinstance(storage, LocalFileSystem) else file.path,
            storage,
            partition_expression=_known_of(file),
        )
        for file in files
    ]
    return ds.FileSystemDataset(pieces, COLUMNS, form, storage)


def _storage(uri: str) -> FileSystem:
    if not is_s3(uri):
        return LocalFileSystem()
    return PyFileSystem(DeltaStorageHandler(uri, S3.of(os.environ).for_delta()))


def _known_of(file: RawFile) -> ds.Expression:
    occurred = ds.field("occurred_at")
    of_shard = ds.field("shard") == pa.scalar(file.shard, pa.int32())
    return of_shard & (occurred >= file.first_ms) & (occurred <= file.last_ms)
