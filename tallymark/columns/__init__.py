"""Tallies as columns: what `tallymark.tally` and `tallymark.rows` say of one, for millions at once.

    users     who, as coupons: hashed the same by both layers
    keys      videos and types, numbered
    tallies   groups of events, added up and rolled up
    packing   rows of tallies to their stored form, and back

Whoever asks for a count needs none of it: NumPy and Polars are loaded by those who count.
"""

from __future__ import annotations

__all__ = ["keys", "packing", "tallies", "users"]
