"""The first look of a recount: which (day, shard) it must look into, known from the table's log as far as can be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tallymark.instants import DAY
from tallymark.raw import RawFile, RawVersion

__all__ = ["Pair", "RowsByHour", "changed_days"]

Pair = tuple[int, int]  # (start in epoch minutes, shard)
RowsByHour = Callable[[Sequence[RawFile], int, int], tuple[Mapping[Pair, int], Mapping[Pair, int]]]
_EVER: Final = 2**62


def changed_days(
    raw: RawVersion, until: int, counted: Mapping[Pair, int], *, taken_before: int, rows_by_hour: RowsByHour
) -> set[Pair]:
    """(day, shard) before `until` with another number of rows in raw than in the ledger, `counted`, or with rows that
    the log took later than what is counted, of which only the data tells.

    The days of a year that share files are looked at together: when these have as many rows as were counted of the
    whole year, nothing changed. Otherwise one column of them is read.
    """
    found: Counter[Pair] = Counter()
    later: set[Pair] = set()
    shared: dict[tuple[int, int, int], list[RawFile]] = defaultdict(list)
    for file in raw.files:
        if file.days > 1:
            shared[file.day, file.days, file.shard].append(file)
        elif file.day < until:
            found[file.day, file.shard] += file.rows
            if file.appended_ms >= taken_before:
                later.add((file.day, file.shard))
    for (year, days, shard), files in shared.items():
        of_year = [(day, shard) for day in range(year, year + days * DAY, DAY)]
        rows = sum(found[pair] for pair in of_year) + sum(file.rows for file in files)
        new = [file for file in files if file.appended_ms >= taken_before]
        if not new and rows == sum(counted.get(pair, 0) for pair in of_year):
            found.update({pair: counted.get(pair, 0) - found[pair] for pair in of_year})
            continue
        of_new = _rows_by_day(new, until, rows_by_hour)
        found.update(_rows_by_day([file for file in files if file not in new], until, rows_by_hour))
        found.update(of_new)
        later |= of_new.keys()
    return later | {pair for pair in found.keys() | counted.keys() if found[pair] != counted.get(pair, 0)}


def _rows_by_day(files: Sequence[RawFile], until: int, rows_by_hour: RowsByHour) -> Counter[Pair]:
    found: Counter[Pair] = Counter()
    for (hour, shard), rows in rows_by_hour(files, _EVER, 0)[0].items() if files else ():
        if hour < until:
            found[hour - hour % DAY, shard] += rows
    return found
