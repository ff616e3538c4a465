"""Ids of events: unique, and in order of time."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["uuid7"]

_LOW: Final = (1 << 62) - 1


def uuid7(unix_ms: int, entropy: int | None = None) -> str:
    """A new UUID that sorts by time (RFC 9562, version 7), of something made at `unix_ms`.

    `entropy`: 74 bits, from the operating system when not given: a fork, or a clock that is set back, repeats none.

    48 bits of time | 0111 | 12 bits | 10 | 62 bits.
    """
    bits = int.from_bytes(os.urandom(10)) >> 6 if entropy is None else entropy
    digits = "%032x" % (unix_ms << 80 | 0x7 << 76 | bits >> 62 << 64 | 0b10 << 62 | bits & _LOW)
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
