"""What the published version has in the rows that an attempt touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from tallymark.columns.packing import from_rows, places, row_keys
from tallymark.columns.ragged import Integers, edges
from tallymark.columns.tallies import Tallies
from tallymark.rows import PackedRow, tallies_in
from tallymark.store import ViewStore

__all__ = ["stored_with"]

_ROWS_AT_ONCE: Final = 20_000  # that are asked for in one go


def stored_with(counted: Tallies, store: ViewStore, *, version: int, of: Integers | None = None) -> Tallies:
    """All that `version` has in the rows that `counted` touches; `of`: only in rows of one of these starts."""
    row_start, _ = places(counted.start, counted.grain)
    asked = edges(counted.key << 32 | row_start)[:-1]
    if of is not None:
        asked = asked[np.isin(row_start[asked], of)]
    parts = [asked[first : first + _ROWS_AT_ONCE] for first in range(0, max(1, len(asked)), _ROWS_AT_ONCE)]
    return Tallies.added([_read(store, counted, part, row_start, version=version) for part in parts])


def _read(store: ViewStore, counted: Tallies, at: Integers, row_start: Integers, *, version: int) -> Tallies:
    """The rows that the tallies at those places belong to."""
    names = row_keys(counted.keys, counted.key[at], row_start[at], counted.grain)
    stored = store.get_rows(names, version=version)
    there = np.array([name in stored for name in names], dtype=np.bool_)
    rows = [stored[name] for name in names if name in stored]
    try:
        return _unpacked(counted, at[there], row_start, rows)
    except ValueError:
        for row in rows:
            tallies_in(row)  # says which it is
        raise


def _unpacked(counted: Tallies, at: Integers, row_start: Integers, rows: Sequence[PackedRow]) -> Tallies:
    return from_rows(
        counted.grain,
        counted.keys,
        key=counted.key[at],
        row_start=row_start[at],
        numbers=[row.numbers for row in rows],
        users=[row.users for row in rows],
    )
