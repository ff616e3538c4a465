"""Reading rows of raw files, wherever they lie, in the words of Polars."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from tallymark.raw.damage import damaged_files
from tallymark.raw.errors import explaining
from tallymark.raw.files import table_of
from tallymark.raw.s3 import S3, is_s3

__all__ = ["scanning"]


@contextmanager
def scanning(uris: Sequence[str], **options: Any) -> Iterator[pl.LazyFrame]:
    """The rows of at least one file, to be collected while inside. `options`: further ones of `pl.scan_parquet`.

    Raises RawRefused or RawUnavailable when the storage does not give them, Damaged when one is gone or cut.
    """
    storage = S3.of(os.environ).for_polars() if is_s3(uris[0]) else None
    with explaining(table_of(uris[0]), damage=lambda _: damaged_files(uris)):
        yield pl.scan_parquet(list(uris), hive_partitioning=False, glob=False, storage_options=storage, **options)
