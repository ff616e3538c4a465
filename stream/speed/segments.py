"""Segments: the ids that one micro-batch brought to a partition of the log, as a file in the checkpoint's folder.

    <checkpoint>/ids/<partition>/<micro-batch>    one segment, written whole or not at all

A segment names the one before it, so that a chain with a link missing is seen (`is_whole`), and says how new it is, so
that it can be forgotten by the log's time. Ids are 64-bit hashes, sorted, 8 bytes each.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Ids", "Segment", "is_whole", "numbers_in", "partition_folder", "read_segment", "write_segment"]

Ids = npt.NDArray[np.uint64]
_HEAD: Final = struct.Struct("<4sqqqI")  # mark, newest, micro-batch and newest of the one before, crc32 of the ids
_MARK: Final = b"ids1"
_NONE: Final = -1


class Segment(NamedTuple):
    """`newest_ms`: the newest append of the partition up to its end, epoch ms. `before`: the number of the segment
    before it, and how new that was; None of a partition's first."""

    number: int
    newest_ms: int
    before: tuple[int, int] | None
    ids: Ids


def partition_folder(checkpoint: Path, partition: int) -> Path:
    return checkpoint / "ids" / str(partition)


def numbers_in(folder: Path) -> list[int]:
    """The micro-batches that have a segment in `folder`, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(int(entry.name) for entry in entries if entry.name.isdigit())
    except FileNotFoundError:
        return []


def write_segment(folder: Path, segment: Segment) -> None:
    """In place of another of its number, if there is one."""
    number, newest_ms = segment.before or (_NONE, _NONE)
    body = segment.ids.tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{segment.number}.{os.getpid()}"
    unfinished.write_bytes(_HEAD.pack(_MARK, segment.newest_ms, number, newest_ms, zlib.crc32(body)) + body)
    unfinished.replace(folder / str(segment.number))


def read_segment(folder: Path, number: int) -> Segment:
    """Raises ValueError for a file that is no segment, or only a part of one; FileNotFoundError."""
    stored = (folder / str(number)).read_bytes()
    body = memoryview(stored)[_HEAD.size :]
    if len(stored) < _HEAD.size or len(body) % 8 or stored[: len(_MARK)] != _MARK:
        raise ValueError(f"{folder / str(number)} is no segment of ids, or only a part of one")
    _, newest_ms, before, before_ms, crc = _HEAD.unpack_from(stored)
    if zlib.crc32(body) != crc:
        raise ValueError(f"{folder / str(number)} is damaged: its ids do not match their checksum")
    return Segment(number, newest_ms, None if before == _NONE else (before, before_ms), np.frombuffer(body, np.uint64))


def is_whole(checkpoint: Path, *, memory_ms: int, positions_of: Callable[[str], Mapping[int, int]]) -> bool:
    """Whether Spark's part of a checkpoint and its segments belong together, and no segment is missing.

    `positions_of` reads where a micro-batch ended, as Spark notes it. Segments of the micro-batch after the last that
    was committed may be there: it runs again.
    """
    committed = max(numbers_in(checkpoint / "commits"), default=_NONE)
    if committed != _NONE and not (checkpoint / "state").is_dir():
        return False
    folders = {int(each.name): each for each in (checkpoint / "ids").glob("[0-9]*")}
    chains = {partition: numbers_in(folder) for partition, folder in folders.items()}
    if any(chain and chain[-1] > committed + 1 for chain in chains.values()):
        return False
    if any(
        not (chain := chains.get(partition)) or committed not in chain
        for partition in _advanced(checkpoint, committed, positions_of)
    ):
        return False
    return all(_is_chain(folders[each], chains[each], memory_ms) for each in folders)


def _advanced(checkpoint: Path, number: int, positions_of: Callable[[str], Mapping[int, int]]) -> list[int]:
    """The partitions of which micro-batch `number` read anything, as far as Spark still knows."""
    before, after = (_ends(checkpoint / "offsets" / str(each), positions_of) for each in (number - 1, number))
    if number == 0 or not before:  # where the first one began is noted elsewhere
        return []
    return [partition for partition, end in after.items() if end > before.get(partition, 0)]


def _ends(file: Path, positions_of: Callable[[str], Mapping[int, int]]) -> Mapping[int, int]:
    try:
        _, _, source = file.read_text().strip().split("\n")
        return positions_of(source)
    except (FileNotFoundError, ValueError):
        return {}


def _is_chain(folder: Path, numbers: list[int], memory_ms: int) -> bool:
    try:
        segments = [read_segment(folder, number) for number in numbers]
    except (ValueError, OSError):
        return False
    linked = all(later.before and later.before[0] == earlier.number for earlier, later in pairwise(segments))
    if not segments or segments[0].before is None:
        return linked
    return linked and segments[0].before[1] < segments[-1].newest_ms - memory_ms
