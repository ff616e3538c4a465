"""Ids of events: unique, and in order of time."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["Ids", "uuid7"]

_AHEAD: Final = 256  # a call to the system for each id would cost as much as all the rest of making it
_LOW: Final = (1 << 62) - 1


class Ids:
    """New ids, of random bits that the system gave for some of them ahead: so the child of a fork needs Ids of its own.
    Threads may share them, and a clock that is set back repeats none."""

    def __init__(self) -> None:
        self._tails: list[str] = []

    def new(self, unix_ms: int) -> str:
        """Of something made at `unix_ms`."""
        try:
            tail = self._tails.pop()
        except IndexError:
            random = os.urandom(10 * (_AHEAD + 1))
            tail, *ahead = [_tail(int.from_bytes(random[at : at + 10]) >> 6) for at in range(0, len(random), 10)]
            self._tails += ahead
        return _head(unix_ms) + tail


def uuid7(unix_ms: int, entropy: int) -> str:
    """A UUID that sorts by time (RFC 9562, version 7), of something made at `unix_ms`, with 74 bits of `entropy`.

    48 bits of time | 0111 | 12 bits | 10 | 62 bits.
    """
    return _head(unix_ms) + _tail(entropy)


def _head(unix_ms: int) -> str:
    digits = f"{unix_ms:012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _tail(entropy: int) -> str:
    digits = f"{0x7 << 76 | entropy >> 62 << 64 | 0b10 << 62 | entropy & _LOW:020x}"
    return f"-{digits[:4]}-{digits[4:8]}-{digits[8:]}"
