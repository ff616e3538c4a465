"""Raw rows by when the log took them, each once, in portions of bounded size.

Files say when their rows occurred, and when they were written, which is after the log took them: so older files are
not even opened. Portions are stretches of event time, of all shards: over those a producer's numbers are spread, and
neighbours lie near each other in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from tallymark.instants import HOUR, MINUTE_MS
from tallymark.raw import RawFile, scanning

__all__ = ["new_rows"]

_ROWS: Final = 1_500_000  # sorted at once, which takes about 300 MB
_CLOCKS: Final = 600_000  # ms by which the clocks of the log and of who writes files may differ
_COLUMNS: Final = ("producer_id", "seq", "occurred_at", "appended_at", "log_partition")


def new_rows(
    files: Sequence[RawFile], *, written_ms: int, since_ms: int, until_ms: int, most_rows: int = _ROWS
) -> Iterator[pl.DataFrame]:
    """Columns producer_id, seq, occurred_at, appended_at and log_partition of the rows that the log took in
    [`since_ms`, `until_ms`), in files that were written from `written_ms` on.

    Raises RawRefused or RawUnavailable.
    """
    fresh = [file for file in files if not file.written_ms or file.written_ms >= written_ms - _CLOCKS]
    for start, end in _portions(fresh, most_rows):
        inside = [file for file in fresh if file.first < end and file.last >= start]
        if not inside:  # of an hour in parts
            continue
        with scanning([file.uri for file in inside]) as rows:
            taken = rows.filter(
                pl.col("occurred_at").is_between(start * MINUTE_MS, end * MINUTE_MS, closed="left"),
                pl.col("appended_at").is_between(since_ms, until_ms, closed="left"),
            )
            yield taken.select(_COLUMNS).collect()


def _portions(files: Sequence[RawFile], most_rows: int) -> Iterator[tuple[int, int]]:
    """Stretches of epoch minutes that tile all rows; of about `most_rows` each, if rows are spread evenly in a file."""
    expected: Counter[int] = Counter()
    for file in files:
        hours = range(file.first // HOUR, file.last // HOUR + 1)
        for hour in hours:
            expected[hour] += -(-file.rows // len(hours))
    begun, rows = None, 0
    for hour in sorted(expected):
        if begun is not None and rows + expected[hour] > most_rows:
            yield begun, hour * HOUR
            begun, rows = None, 0
        if expected[hour] > most_rows:
            yield from _parts(hour * HOUR, parts=-(-expected[hour] // most_rows))
            continue
        begun = hour * HOUR if begun is None else begun
        rows += expected[hour]
    if begun is not None:
        yield begun, (max(expected) + 1) * HOUR


def _parts(start: int, *, parts: int) -> Iterator[tuple[int, int]]:
    """An hour in parts of whole minutes."""
    edges = sorted({start + HOUR * part // parts for part in range(parts + 1)})
    yield from pairwise(edges)
