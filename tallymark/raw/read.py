"""Reading rows of raw files, wherever they lie, in the words of Polars."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import polars as pl
import pyarrow as pa

from tallymark.raw.damage import damaged_files
from tallymark.raw.errors import explaining
from tallymark.raw.files import table_of
from tallymark.raw.s3 import S3, is_s3
from tallymark.raw.schema import LATER, ROW

__all__ = ["scanning"]

_ALL: Final = pl.Schema(pa.schema(ROW))
_EVER: Final = pl.Schema({name: kind for name, kind in _ALL.items() if name not in LATER})


@contextmanager
def scanning(uris: Sequence[str], *, later: bool = False, **options: Any) -> Iterator[pl.LazyFrame]:
    """The rows of at least one file, to be collected while inside. `options`: further ones of `pl.scan_parquet`.

    `later`: with the columns that files of earlier versions lack, null in those.

    Raises RawRefused or RawUnavailable when the storage does not give them, Damaged when one is gone or cut.
    """
    storage = S3.of(os.environ).for_polars() if is_s3(uris[0]) else None
    with explaining(table_of(uris[0]), damage=lambda _: damaged_files(uris)):
        yield pl.scan_parquet(
            list(uris),
            schema=_ALL if later else _EVER,
            # what is always read must be there: a count of rows that lack it would be wrong without a word
            missing_columns="insert" if later else "raise",
            extra_columns="ignore",
            hive_partitioning=False,
            glob=False,
            storage_options=storage,
            **options,
        )
