"""A shard's hours in slices of bounded size, so that the memory of a recount does not grow with the history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from batch.plan import DayTask, HourTask, ShardTask

__all__ = ["ROWS", "Slice", "slices"]

ROWS: Final = 250_000


class Slice(NamedTuple):
    """Hours that are counted together, and the files that hold them.

    `others`: by day, the hours that have rows but are not in this slice, whose cells a day needs as well.
    """

    hours: list[HourTask]
    files: list[str]
    others: dict[int, list[int]]


def slices(task: ShardTask, *, most_rows: int = ROWS) -> Iterator[Slice]:
    """The task in slices of at most `most_rows` raw rows, or of one hour, in order of time."""
    taken: list[tuple[DayTask, HourTask]] = []
    rows = 0
    for day in task.days:
        for hour in day.hours:
            if taken and rows + hour.rows > most_rows:
                yield _slice(taken)
                taken, rows = [], 0
            taken.append((day, hour))
            rows += hour.rows
    if taken:
        yield _slice(taken)


def _slice(taken: list[tuple[DayTask, HourTask]]) -> Slice:
    hours = [hour for _, hour in taken]
    inside = {hour.start for hour in hours}
    full = [hour.start for hour in hours if hour.rows]
    days = {day.start: day for day, _ in taken}.values()
    files = [file.uri for day in days for file in day.files if any(map(file.overlaps, full))]
    others = {
        day.start: [*day.kept, *(hour.start for hour in day.hours if hour.rows and hour.start not in inside)]
        for day in days
    }
    return Slice(hours, files, others)
