"""Undoing compression, with a bound on what comes out: whatever is sent, memory and time stay within it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from backports import zstd

__all__ = ["CODINGS", "TooLong", "unfold"]

_PIECE: Final = 65_536  # bytes given at once: what follows a member is copied, so it is to be short
_MEMBERS: Final = 1_000
_WINDOW: Final[dict[int, int]] = {
    zstd.DecompressionParameter.window_log_max: 23
}  # 8 MB, which RFC 9659 asks for at least and at most


class TooLong(Exception):
    """More comes out than was allowed."""


class _Member(Protocol):
    """How both libraries undo one member. `decompress` returns at most so many bytes."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


CODINGS: Final[Mapping[str, Callable[[], _Member]]] = MappingProxyType(
    {
        "gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),  # zlib's way to ask for this format
        "deflate": lambda: zlib.decompressobj(-zlib.MAX_WBITS),  # bare, as Avro has it
        "zstd": lambda: zstd.ZstdDecompressor(options=_WINDOW),
    }
)


def unfold(body: bytes, coding: str, *, most: int) -> bytes:
    """`body` without its coding, one of CODINGS; of several members (frames), all of them on end. What follows a
    deflate is not looked at: fastavro leaves part of a checksum there.

    Raises TooLong for more than `most` bytes, having made no more than that; ValueError for what is broken.
    """
    begin = CODINGS[coding]
    unfolded = bytearray()
    member, members = begin(), 1
    for first in range(0, len(body), _PIECE):
        piece = body[first : first + _PIECE]
        while piece:
            if member.eof and coding == "deflate":
                break
            if member.eof:
                member, members = begin(), members + 1
            if members > _MEMBERS:
                raise ValueError(f"more than {_MEMBERS} members; compress all of it at once")
            try:
                unfolded += member.decompress(piece, most + 1 - len(unfolded))
            except (zlib.error, zstd.ZstdError) as error:
                raise ValueError(str(error)) from None
            if len(unfolded) > most:
                raise TooLong
            piece = member.unused_data if member.eof else b""
    if not member.eof:
        raise ValueError("it ends too early")
    return bytes(unfolded)
