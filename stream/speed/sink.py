"""The speed layer's sink: Spark's executors put absolute totals into the view store, none pass through the driver.

ADR 12 says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import pyarrow as pa

from tallymark.buckets import Bucket, Grain
from tallymark.cells import Cell, LateCell
from tallymark.settings import Settings
from tallymark.sketch import Sketch
from tallymark.spark.worker import micro_batch_of_task, set_modules_aside
from tallymark.store import Stamp
from tallymark.store.open import store_of_process
from tallymark.tally import Tally

__all__ = ["CELLS", "PUT", "cells_of", "putting"]

CELLS: Final = ("video_id", "type", "minute", "step", "count", "sum", "min", "max", "users")
"""The columns of cells: minute in epoch minutes; step of the log's time of a late cell, null of what is not late; users
the bytes of a sketch, null without users."""

PUT: Final = "cells bigint"  # a row for each batch: how many cells were put; the stream ends there, nobody reads it


def putting(
    settings: Settings, epoch: int, generation: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """A function for mapInArrow over rows of CELLS, the totals of a generation. Putting them again changes nothing."""

    def put(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        set_modules_aside()
        micro_batch = micro_batch_of_task()
        version = Stamp(epoch, micro_batch // generation, micro_batch)
        store = store_of_process(settings)
        for batch in batches:
            cells, late = cells_of(batch)
            put_now = store.put(cells, version=version) if cells else 0
            put_now += store.put_late(late, version=version) if late else 0
            yield pa.RecordBatch.from_pydict({"cells": [put_now]})

    return put


def cells_of(batch: pa.RecordBatch) -> tuple[list[Cell], list[LateCell]]:
    """Rows of CELLS as what they are: minute cells, and late ones."""
    columns = [batch[name].to_pylist() for name in CELLS]
    cells: list[Cell] = []
    late: list[LateCell] = []
    for video_id, type_, minute, step, count, total, low, high, users in zip(*columns, strict=True):
        tally = Tally(count, total, low, high, None if users is None else Sketch(bytes(users)))
        if step is None:
            cells.append(Cell(video_id, type_, Bucket(Grain.MINUTE, minute), tally))
        else:
            late.append(LateCell(video_id, type_, step, minute, tally))
    return cells, late
