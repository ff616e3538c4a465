"""The speed layer's memory: which ids of a partition the log has taken in the last `memory`, by the log's time.

Copies of an event meet in one partition, in the order of the log. So whoever reads the partition can know them alone: a
micro-batch brings a sorted array of hashes, is compared with those of the micro-batches before it, and leaves a segment
(see `segments`). It never reads a segment of its own number or a later one, so it may run twice, in any process.

A worker process keeps what it has read as few sorted runs, the younger ones merged as they grow. A run is forgotten
when its newest id is too old, so ids are known for `memory` at least, and up to a quarter longer.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.speed.segments import Ids, Segment, numbers_in, partition_folder, read_segment, write_segment

__all__ = ["Memory", "memory_of"]

_MERGED: Final = 8  # a run is merged into the one before it unless that is so many times as long
_SPANS: Final = 4  # a run covers at most this part of `memory`


class _Run(NamedTuple):
    """Ids of adjacent micro-batches, whose appends lie between `oldest_ms` and `newest_ms`."""

    ids: Ids
    oldest_ms: int
    newest_ms: int


class Memory:
    """Of one partition of one checkpoint, as one process keeps it. Not for several threads at once."""

    def __init__(self, folder: Path, memory_ms: int) -> None:
        self._folder = folder
        self._memory_ms = memory_ms
        self._runs: list[_Run] = []
        self._last: tuple[int, int] | None = None  # the micro-batch of the youngest segment, and how new that is

    def newest_ms(self, micro_batch: int) -> int:
        """The newest append in the micro-batches before this one, epoch ms; 0 when there were none."""
        self._read_before(micro_batch)
        return 0 if self._last is None else self._last[1]

    def add(self, micro_batch: int, ids: Ids, *, first_ms: int, newest_ms: int) -> npt.NDArray[np.bool_]:
        """Which of `ids`, in the order of the log, are there for the first time. They are remembered when it returns.

        `first_ms`, `newest_ms`: between which the log took them, epoch ms.
        """
        self._read_before(micro_batch)
        self._forget(first_ms - self._memory_ms)
        distinct, places = np.unique(ids, return_index=True)
        known = np.zeros(len(distinct), np.bool_)
        for run in self._runs:
            known |= _are_in(run.ids, distinct)
        fresh = np.zeros(len(ids), np.bool_)
        fresh[places[~known]] = True
        # Known ids too: each copy is remembered anew. Taken in only when it is read for the next micro-batch: another
        # process may do this one again, and differently.
        write_segment(self._folder, Segment(micro_batch, newest_ms, self._last, np.ascontiguousarray(distinct)))
        self._remove_old(first_ms - self._memory_ms)
        return fresh

    def _read_before(self, micro_batch: int) -> None:
        """Take in the segments that other processes wrote; all of them anew when this one has gone further."""
        if self._last is not None and self._last[0] >= micro_batch:
            self._runs, self._last = [], None
        after = -1 if self._last is None else self._last[0]
        for number in numbers_in(self._folder):
            if after < number < micro_batch:
                self._take(read_segment(self._folder, number))

    def _take(self, segment: Segment) -> None:
        self._last = segment.number, segment.newest_ms
        oldest_ms = segment.newest_ms if segment.before is None else segment.before[1]
        run = _Run(segment.ids, oldest_ms, segment.newest_ms)
        while self._runs and self._can_merge(self._runs[-1], run):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def _can_merge(self, earlier: _Run, later: _Run) -> bool:
        short = later.newest_ms - earlier.oldest_ms <= self._memory_ms // _SPANS
        return short and len(earlier.ids) < _MERGED * len(later.ids)

    def _forget(self, before_ms: int) -> None:
        self._runs = [run for run in self._runs if run.newest_ms >= before_ms]

    def _remove_old(self, before_ms: int) -> None:
        """Segments that no micro-batch from the next one on can need, and none behind one that stays."""
        for number in numbers_in(self._folder):
            if self._last is None or number >= self._last[0] or _newest(self._folder, number) >= before_ms:
                return
            (self._folder / str(number)).unlink(missing_ok=True)


@lru_cache(maxsize=1024)
def memory_of(checkpoint: Path, partition: int, memory_ms: int) -> Memory:
    """A worker process serves one micro-batch after the other: what it knows, it need not read again."""
    return Memory(partition_folder(checkpoint, partition), memory_ms)


@lru_cache(maxsize=4096)
def _newest(folder: Path, number: int) -> int:
    return read_segment(folder, number).newest_ms


def _are_in(sorted_ids: Ids, some: Ids) -> npt.NDArray[np.bool_]:
    if not len(sorted_ids):
        return np.zeros(len(some), np.bool_)
    places = np.searchsorted(sorted_ids, some)
    places[places == len(sorted_ids)] = 0
    return np.equal(sorted_ids[places], some)


def _merged(earlier: _Run, later: _Run) -> _Run:
    ids = np.concatenate((earlier.ids, later.ids))
    ids.sort(kind="stable")  # which merges what is sorted in runs already
    return _Run(ids, earlier.oldest_ms, max(earlier.newest_ms, later.newest_ms))
