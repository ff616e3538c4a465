"""Videos and types as numbers, in the order of their rows."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cached_property
from itertools import starmap
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tallymark.cells import SHARDS, key_head
from tallymark.columns.ragged import Integers

__all__ = ["Keys"]

_KEY: Final = ["video_id", "type"]


class Keys:
    """Videos and types of a shard in the order of their rows: a key's number is its place here."""

    def __init__(self, pairs: pl.DataFrame) -> None:
        """Of all (video_id, type) in `pairs`, whatever order they are in and however often."""
        self._frame = pairs.select(pl.col(_KEY).cast(pl.String)).unique().sort(_KEY)

    def __len__(self) -> int:
        return self._frame.height

    @classmethod
    def all(cls, some: Sequence[Keys]) -> Keys:
        """Those of all of them; the very same where they are."""
        if all(keys is some[0] for keys in some):
            return some[0]
        return cls(pl.concat([keys._frame for keys in some]))

    def numbers(self, pairs: pl.DataFrame) -> Integers:
        """The number of each (video_id, type) of `pairs`, all of which are here."""
        places = self._frame.with_row_index("number")
        found = pairs.select(pl.col(_KEY).cast(pl.String)).join(places, on=_KEY, how="left", maintain_order="left")
        return found["number"].to_numpy().astype(np.int64)

    def of(self, others: Keys) -> Integers:
        """The number here of each of the others."""
        return np.arange(len(self)) if others is self else self.numbers(others._frame)

    @cached_property
    def heads(self) -> npt.NDArray[np.object_]:
        """What the keys of the rows of each begin with."""
        return np.array([*starmap(key_head, self._frame.iter_rows()), None], dtype=object)[:-1]

    @cached_property
    def shards(self) -> Integers:
        return np.array([head[0] for head in self.heads], dtype=np.int64)

    @cached_property
    def video_hashes(self) -> Integers:
        """The same of all types of a video, in every process, and as even as may be within a shard."""
        return np.array([zlib.crc32(video.encode()) // SHARDS for video in self._frame["video_id"]], dtype=np.int64)

    def __getitem__(self, number: int) -> tuple[str, str]:
        video_id, type_ = self._frame.row(number)
        return video_id, type_
