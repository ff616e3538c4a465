"""The counting kernel: raw files in, minute tallies out (ADR 19). A plain function: its caller brings the files.

A shard holds all events of its videos, and an hour all copies of an event that are the same one (`event.identity`): so
any set of hours of one shard is counted without looking at anything else. Of copies, the first in the log counts,
wherever the copies lie; a key that only other copies name is told too, as a tally of no event. Where the first copy is
marked as not to be counted, none of them is.

All copies of an event have its id. So what has an id of its own, nearly all, needs no sorting, and hashes of ids tell:
rows whose hash is nobody else's are no copies; the few others are compared in full.

An hour that is too large for one look is counted in parts of its rows. Then the rows that may be copies are not counted
but handed on: their copies may lie in other parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash  # noqa: F401 - adds `nchash` to expressions

from tallymark.buckets import Grain
from tallymark.columns.keys import Keys
from tallymark.columns.tallies import Tallies
from tallymark.columns.users import coupons_of
from tallymark.instants import HOUR, HOUR_MS, MINUTE_MS, Minute
from tallymark.raw import RawFile, scanning
from tallymark.raw.marks import MARK, with_marks

__all__ = ["IDENTITY", "LOG_ORDER", "Counted", "Part", "count", "count_more", "rows_by_hour", "settle"]

LOG_ORDER: Final = ["appended_at", "log_partition", "log_offset"]
IDENTITY: Final = ["event_id", "video_id", "hour"]
"""Rows that agree in these are copies of one event; the first by `LOG_ORDER` counts (ADR 3)."""
_ROW: Final = {
    **dict.fromkeys(("event_id", "type", "video_id", "user_id"), pl.String),
    **dict.fromkeys(("minute", "hour", "value", *LOG_ORDER), pl.Int64),
    "id": pl.UInt64,
    MARK: pl.String,
}
_PLAIN: Final = {name: kind for name, kind in _ROW.items() if name != MARK}
_ROWS_AT_ONCE: Final = 4_000_000  # of one column: 32 MB
_TABLE: Final = 1 << 20


class Part(NamedTuple):
    """Rows [first, first + length) of all the files', one after the other."""

    first: int
    length: int


class Counted(NamedTuple):
    """`rows`: raw rows by hour; `minutes`: the tallies of those that count. `unsettled`: rows that may be copies.

    `more`: of the rows, those that came since the version which they are added to. `marked`: events that are not
    counted, since their first copy says so.
    """

    rows: dict[int, int]
    minutes: Tallies
    unsettled: pl.DataFrame
    more: int = 0
    marked: int = 0


def count(
    files: Sequence[str], hours: Sequence[int], *, taken_before: int, part: Part | None = None, at_once: int = 0
) -> Counted:
    """Count the rows in `files`, all of one shard, of `hours` (starts in epoch minutes). No files: nothing.

    `taken_before`: only rows that the log took before it, epoch ms. Of a `part`, rows that may have copies anywhere in
    the hours are `unsettled`; to find them, ids are read by so many rows `at_once`.

    Raises RawRefused or RawUnavailable when the storage of the files does not give them.
    """
    rows = _read(files, hours, taken_before, part) if files else pl.DataFrame(schema=_ROW)
    of_hour = Counter(dict(rows.group_by("hour").len().iter_rows()))
    ids = rows["id"].to_numpy()
    if part is None:
        minutes, marked = _tallied(rows, _first_copies(rows, _among(ids, _repeated(ids))))
        return Counted(of_hour, minutes, rows.clear(), marked=marked)
    unsure = _among(ids, _repeated_anywhere(tuple(files), tuple(hours), taken_before, at_once))
    sure = rows.filter(~unsure)
    minutes, marked = _tallied(sure, np.ones(sure.height, dtype=np.bool_))
    return Counted(of_hour, minutes, rows.filter(unsure), marked=marked)


def count_more(
    files: Sequence[str], hours: Sequence[int], *, known_until: int, taken_before: int, at_once: int
) -> Counted:
    """As `count`, of the rows that the log took from `known_until` on, epoch ms. Those before it are looked through for
    copies of them, by so many rows `at_once`: a copy that came before counts. `rows` are of both."""
    new = _read(files, hours, taken_before, None, since=known_until)
    of_hour = Counter(dict(new.group_by("hour").len().iter_rows()))
    few = np.unique(new["id"].to_numpy())
    seen = []
    for known in _looked_through(files, hours, known_until, at_once, [pl.col("event_id", "video_id"), _hour(), _id()]):
        of_hour.update(dict(known.group_by("hour").len().iter_rows()))
        seen.append(known.filter(_among(known["id"].to_numpy(), few)).select(IDENTITY))
    fresh = new.join(pl.concat(seen), on=IDENTITY, how="anti", maintain_order="left") if seen else new
    ids = fresh["id"].to_numpy()
    minutes, marked = _tallied(fresh, _first_copies(fresh, _among(ids, _repeated(ids))))
    return Counted(of_hour, minutes, new.clear(), more=new.height, marked=marked)


def settle(unsettled: Sequence[pl.DataFrame]) -> Counted:
    """Of rows that may be copies, once those of all parts are there; they are no new rows."""
    rows = pl.concat(unsettled) if unsettled else pl.DataFrame(schema=_ROW)
    minutes, marked = _tallied(rows, _first_copies(rows, np.ones(rows.height, dtype=np.bool_)))
    return Counted({}, minutes, rows.clear(), marked=marked)


def _tallied(rows: pl.DataFrame, first: npt.NDArray[np.bool_]) -> tuple[Tallies, int]:
    """The tallies of the `first` copies, and how many of these are not counted."""
    keys = Keys(rows)
    counts = first & rows[MARK].is_null().to_numpy()
    tallies = Tallies.of_events(
        keys,
        key=keys.numbers(rows),
        minute=rows["minute"].to_numpy(),
        value=rows["value"].to_numpy(),
        coupon=coupons_of(rows["user_id"]),
        counts=counts,
    )
    return tallies, int(first.sum() - counts.sum())


def _first_copies(rows: pl.DataFrame, repeated: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which rows count: those that are not repeated, and of the others the first in the log of each event."""
    counts = ~repeated
    copies = rows.with_row_index("place").filter(repeated)
    first = copies.sort(LOG_ORDER).unique(IDENTITY, keep="first", maintain_order=True)
    counts[first["place"].to_numpy()] = True
    return counts


def _repeated(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Those that are there more than once, sorted."""
    ordered = np.sort(ids)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _among(ids: npt.NDArray[np.uint64], few: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of `ids` are among a few. A table of their low bits answers for most; the rest is looked up."""
    found = np.zeros(len(ids), dtype=np.bool_)
    if not len(few):
        return found
    low = np.uint64(_TABLE - 1)
    table = np.zeros(_TABLE, dtype=np.bool_)
    table[few & low] = True
    (maybe,) = np.nonzero(table[ids & low])
    places = np.minimum(np.searchsorted(few, ids[maybe]), len(few) - 1)
    found[maybe] = few[places] == ids[maybe]
    return found


def _read(
    files: Sequence[str], hours: Sequence[int], taken_before: int, part: Part | None, *, since: int = 0
) -> pl.DataFrame:
    within = _in(hours, taken_before) & (pl.col("appended_at") >= since)
    with scanning(files) as rows:
        some = rows if part is None else rows.slice(part.first, part.length)
        plain = (
            some.filter(within)
            .with_columns(_hour(), _id(), minute=pl.col("occurred_at") // MINUTE_MS)
            .select(pl.col(name).cast(as_type) for name, as_type in _PLAIN.items())
            .collect()
        )
    return with_marks(plain, files, within)


@lru_cache(maxsize=1)  # a process that counts several parts of an hour looks once
def _repeated_anywhere(
    files: tuple[str, ...], hours: tuple[int, ...], taken_before: int, at_once: int
) -> npt.NDArray[np.uint64]:
    """Of hashed ids, which are eight bytes where an id may be sixty."""
    looks = _looked_through(files, hours, taken_before, at_once, [_id()])
    return _repeated(np.concatenate([ids.to_series().to_numpy() for ids in looks]))


def _looked_through(
    files: Sequence[str], hours: Sequence[int], taken_before: int, at_once: int, columns: Sequence[pl.Expr]
) -> Iterator[pl.DataFrame]:
    """Some columns of all rows of the hours, of `at_once` rows of the files at a time."""
    with scanning(files) as rows:
        total = rows.select(pl.len()).collect().item()
        for first in range(0, total, at_once):
            yield rows.slice(first, at_once).filter(_in(hours, taken_before)).select(columns).collect()


def _in(hours: Sequence[int], taken_before: int) -> pl.Expr:
    start_ms, end_ms = min(hours) * MINUTE_MS, (max(hours) + 60) * MINUTE_MS
    occurred = pl.col("occurred_at")
    inside = occurred.is_between(start_ms, end_ms, closed="left")  # skips row groups
    if len(hours) * HOUR_MS < end_ms - start_ms:
        inside &= _hour().is_in(list(hours))
    return inside & (pl.col("appended_at") < taken_before)


def _hour() -> pl.Expr:
    """The start of the hour in which it occurred, in epoch minutes."""
    return (pl.col("occurred_at") // HOUR_MS * HOUR).alias("hour")


def _id() -> pl.Expr:
    hashed: pl.Expr = pl.col("event_id").nchash.xxhash64()  # type: ignore[attr-defined]
    return hashed.alias("id")


def rows_by_hour(
    files: Sequence[RawFile], taken_before: int, known_until: int = 0
) -> tuple[Counter[tuple[int, int]], Counter[tuple[int, int]]]:
    """Rows by (hour start, shard) in `files` that the log took before `taken_before`, and before `known_until`, epoch
    ms.

    Reads when rows occurred and were taken, of the files that hold more than one hour or later rows. Rows outside of
    their file's day or year are left out: nobody would look for them there.
    """
    found: Counter[tuple[int, int]] = Counter()
    known: Counter[tuple[int, int]] = Counter()
    several: list[RawFile] = []
    told_by_files = min(taken_before, known_until or taken_before)
    for file in files:
        hour = Grain.HOUR.floor(Minute(file.first))
        if hour != Grain.HOUR.floor(Minute(file.last)) or file.appended_ms >= told_by_files:
            several.append(file)
        elif file.belongs(hour):
            found[hour, file.shard] += file.rows
            known[hour, file.shard] += file.rows if file.appended_ms < known_until else 0
    for group in _groups(several):
        of = {file.uri: file for file in group}
        for uri, hour, rows, older in _rows_of(list(of), taken_before, known_until).iter_rows():
            if of[uri].belongs(hour):
                found[hour, of[uri].shard] += rows
                known[hour, of[uri].shard] += older
    return found, known


def _rows_of(uris: list[str], taken_before: int, known_until: int) -> pl.DataFrame:
    """(file, hour start, rows, those of them taken before `known_until`)."""
    taken = pl.col("appended_at")
    with scanning(uris, include_file_paths="uri") as rows:
        of_file = rows.filter(taken < taken_before).group_by("uri", _hour())
        return of_file.agg(pl.len().alias("rows"), (taken < known_until).sum().alias("known")).collect()


def _groups(files: Sequence[RawFile]) -> Iterator[list[RawFile]]:
    """The files in groups of at most `_ROWS_AT_ONCE` rows, or of one file."""
    group: list[RawFile] = []
    rows = 0
    for file in files:
        if group and rows + file.rows > _ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(file)
        rows += file.rows
    if group:
        yield group
