"""Rows that came late, of which a publication may not know: the documents `pending/<raw version>`.

The archive writes one before it commits that version of the raw table, so that they are never told too late.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from tallymark.store import ViewStore

__all__ = ["Pending", "names_until", "note_late", "pending_since"]

_PREFIX: Final = "pending/"
_decoder = msgspec.json.Decoder(dict[int, dict[int, int]])
Pending = list[dict[int, dict[int, int]]]
"""Per raw commit: shard → hour start in epoch minutes → late rows."""


def note_late(store: ViewStore, raw_version: int, rows: Mapping[int, Mapping[str, int]]) -> None:
    """`rows`: shard → hour start in epoch minutes, as text → late rows that `raw_version` will bring."""
    store.write_document(_name(raw_version), json.dumps(rows).encode())


def pending_since(store: ViewStore, raw_version: int) -> Pending:
    """What later versions of the raw table than `raw_version` have brought, or were about to."""
    return [_decoded(body) for _, body in store.list_documents(_PREFIX, after=_name(raw_version))]


def names_until(store: ViewStore, raw_version: int) -> list[str]:
    """The documents of versions up to `raw_version`."""
    return [name for name, _ in store.list_documents(_PREFIX) if name <= _name(raw_version)]


@lru_cache(maxsize=4096)
def _decoded(body: bytes) -> dict[int, dict[int, int]]:
    """Between two recounts hundreds of commits may bring late rows; each request meets the same documents again."""
    return _decoder.decode(body)


def _name(raw_version: int) -> str:
    return f"{_PREFIX}{raw_version:012d}"
