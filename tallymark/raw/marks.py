"""Rows that are kept and not counted, told apart from the others: most files hold none, and old ones not the column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from tallymark.raw.read import scanning

__all__ = ["MARK", "marked_among", "with_marks"]

MARK: Final = "not_counted"
_PLACE: Final = ["event_id", "appended_at", "log_partition", "log_offset"]


def marked_among(uris: Sequence[str], within: pl.Expr, columns: Sequence[pl.Expr | str]) -> pl.DataFrame:
    """Some `columns` of the rows in the files, for which `within` holds, that are not counted, and why: MARK.

    Row groups without one are passed over by their statistics. Raises RawRefused or RawUnavailable.
    """
    with scanning(uris, later=True) as rows:
        return rows.filter(pl.col(MARK).is_not_null() & within).select(*columns, MARK).collect()


def with_marks(rows: pl.DataFrame, uris: Sequence[str], within: pl.Expr) -> pl.DataFrame:
    """`rows`, which lie in the files and for which `within` holds, with MARK: why one is not counted, or null.

    They are read without it, since a file that lacks any other column must not pass (`scanning`).
    """
    marks = marked_among(uris, within, _PLACE)
    if not marks.height:
        return rows.with_columns(pl.lit(None, pl.String).alias(MARK))
    alike = [pl.col(name).cast(rows.schema[name]) for name in _PLACE]
    return rows.join(marks.unique(_PLACE).with_columns(alike), on=_PLACE, how="left", maintain_order="left")
