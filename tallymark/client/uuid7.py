"""UUIDs that sort by time (RFC 9562, version 7), which Python makes itself only from 3.14 on."""

from __future__ import annotations

import secrets
from uuid import UUID

__all__ = ["uuid7"]


def uuid7(unix_ms: int, entropy: int | None = None) -> str:
    """A new id for something that is made at `unix_ms`; `entropy`: 74 bits, random when not given.

    48 bits of time | 0111 | 12 bits | 10 | 62 bits.
    """
    bits = secrets.randbits(74) if entropy is None else entropy
    high, low = bits >> 62, bits & (1 << 62) - 1
    return str(UUID(int=unix_ms << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
