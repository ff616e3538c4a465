"""Who was seen, as coupons (`tallymark.sketch`): four bytes for each user, the same in both layers and in Spark."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash  # noqa: F401 - adds `nchash` to expressions

from tallymark.sketch import LG_K, Sketch

__all__ = ["NOBODY", "coupons_of", "registers_in", "sketch_of", "slots_of"]

NOBODY: Final = 0
"""No user's coupon: those begin at 2^26."""
_SEED: Final = 9001  # of DataSketches
_ADDRESS_BITS: Final = 26
_ADDRESS: Final = np.uint64((1 << _ADDRESS_BITS) - 1)
_SLOT: Final = np.uint32((1 << LG_K) - 1)
_MOST_ZEROS: Final = 62
_WORD: Final = 64

Coupons = npt.NDArray[np.uint32]


def coupons_of(users: pl.Series) -> Coupons:
    """The coupon of each user, NOBODY where there is none, or one without a name: sketches leave that out."""
    named = (users != "").fill_null(False)
    known = users.filter(named)
    coupons = np.full(len(users), NOBODY, dtype=np.uint32)
    if len(known):
        hashed = known.to_frame("user").select(
            pl.col("user").nchash.murmur128(seed=_SEED, return_binary=True)  # type: ignore[attr-defined]
        )["user"]
        stored = hashed.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
        halves = np.frombuffer(stored.buffers()[2], dtype="<u8").reshape(-1, 2)[stored.offset :][: len(known)]
        zeros = np.minimum(_leading_zeros(halves[:, 1]), _MOST_ZEROS).astype(np.uint32)
        found = (zeros + np.uint32(1)) << np.uint32(_ADDRESS_BITS) | (halves[:, 0] & _ADDRESS).astype(np.uint32)
        coupons[named.to_numpy()] = found
    return coupons


def slots_of(coupons: Coupons) -> Coupons:
    """Which of a sketch's 4,096 registers each coupon belongs to."""
    return coupons & _SLOT


def sketch_of(coupons: Coupons) -> Sketch:
    """Of at least one user, none of them twice."""
    return Sketch.of_coupons(coupons.astype("<u4", copy=False).tobytes())


def registers_in(stored: bytes) -> Coupons:
    """What a stored sketch of many users keeps of them, as one coupon for each register: enough for any union."""
    values = np.frombuffer(Sketch(stored).registers(), dtype=np.uint8)
    (slots,) = np.nonzero(values)
    return values[slots].astype(np.uint32) << np.uint32(_ADDRESS_BITS) | slots.astype(np.uint32)


def _leading_zeros(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Of 64 bits, from the top: by halves, of which a float holds each exactly."""
    high, low = (words >> np.uint64(32)).astype(np.float64), (words & np.uint64(0xFFFFFFFF)).astype(np.float64)
    bits = np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(low)[1])  # frexp(0) is (0, 0)
    zeros: npt.NDArray[np.int64] = _WORD - bits
    return zeros
