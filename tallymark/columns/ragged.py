"""Arrays of many short runs, one after the other, and values of bytes that lie so in one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from tallymark.rows import sealed, verify

__all__ = ["Integers", "Words", "begins", "edges", "gathered", "joined", "scatter", "split", "starts", "within"]

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
_LONGEST: Final = 8


def starts(lengths: npt.NDArray[np.integer]) -> Integers:
    """Where each run of that length begins, and where the last one ends: [2, 0, 3] is [0, 2, 2, 5]."""
    found = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=found[1:])
    return found


def within(lengths: npt.NDArray[np.integer]) -> Integers:
    """For each element of all runs, its place in its run: [2, 0, 3] is [0, 1, 0, 1, 2]."""
    return np.arange(int(lengths.sum())) - np.repeat(starts(lengths)[:-1], lengths)


def begins(groups: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Where an element differs from the one before it."""
    return np.concatenate([np.ones(min(1, len(groups)), dtype=np.bool_), groups[1:] != groups[:-1]])


def edges(groups: npt.NDArray[np.generic]) -> Integers:
    """Where each run of equal elements begins, and the end: of [5, 5, 7] [0, 2, 3]."""
    return np.append(np.nonzero(begins(groups))[0], len(groups))


def scatter(buffer: Bytes, at: Integers, values: npt.NDArray[np.integer], width: Integers) -> None:
    """Write each value at its place, little-endian, in so many bytes: 0, 1, 2, 4 or 8."""
    for each in (1, 2, 4, 8):
        (mine,) = np.nonzero(width == each)
        as_bytes = values[mine].astype("<u8").view(np.uint8).reshape(-1, _LONGEST)
        for byte in range(each):
            buffer[at[mine] + byte] = as_bytes[:, byte]


def gathered(buffer: Bytes, at: Integers, width: Integers) -> Words:
    """The inverse of `scatter`."""
    values = np.zeros(len(at), dtype=np.uint64)
    for byte in range(int(width.max()) if len(width) else 0):
        (mine,) = np.nonzero(width > byte)
        values[mine] |= buffer[at[mine] + byte].astype(np.uint64) << np.uint64(8 * byte)
    return values


def split(buffer: Bytes, at: Integers) -> list[bytes]:
    """The values between the edges `at`, each with its checksum behind it; nothing where there is nothing."""
    whole = buffer.tobytes()
    values = [whole[start:end] for start, end in pairwise(at.tolist())]
    return [sealed(value) if value else value for value in values]


def joined(values: Sequence[bytes]) -> tuple[Bytes, Integers]:
    """The values in one buffer, and where each begins. Raises ValueError when one is not as it was put."""
    for value in values:
        verify(value)
    lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
    return np.frombuffer(b"".join(values), dtype=np.uint8), starts(lengths)[:-1]
