"""Who does the work: this process, several on this machine (`processes`), or Spark (`on_spark`). ADR 28 and ADR 50 say
why.

    tasks by shard ──▶ slices, in any order ──▶ parts of each shard's roll-up ──▶ what was counted

All run the same functions on the same tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from batch.plan import ShardTask
from batch.start import Step, Watch
from tallymark.store import ViewStore

if TYPE_CHECKING:
    from batch.counting.slices import Counts, Handed

__all__ = ["Distribute", "by_size", "parts_of_rollup", "serially"]

Distribute = Callable[[Sequence[ShardTask], Watch], "list[Counts]"]
"""Run all tasks and tell the watcher as shards are done. What goes wrong in a task is raised."""
_FEW_ROWS: Final = 400_000  # counted before other processes have started


def serially(store: ViewStore, *, at_once: int) -> Distribute:
    """In this process, `at_once` raw rows at a time."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        from batch.counting.rollup import roll_up
        from batch.counting.slices import count_slice, slices

        counts = []
        for done, task in enumerate(tasks, start=1):
            parts = parts_of_rollup(task, at_once)
            handed: list[list[Handed]] = [[] for _ in range(parts)]
            for one in slices(task, rows_each=at_once, at_once=at_once, parts=parts):
                counted, given = count_slice(one, store)
                counts.append(counted)
                for of_part, some in zip(handed, given, strict=True):
                    of_part.append(some)
            watch(Step.COUNT, done, len(tasks))
            for part, given in enumerate(handed):
                counts.append(roll_up(task, given, store, part=part, parts=parts))
                given.clear()
            watch(Step.ROLL_UP, done, len(tasks))
        return counts

    return distribute


def by_size(here: Distribute, there: Distribute) -> Distribute:
    """`here` when there is little to count, `there` when there is much."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        rows = sum(task.work for task in tasks)
        return (here if rows <= _FEW_ROWS else there)(tasks, watch)

    return distribute


def parts_of_rollup(task: ShardTask, at_once: int) -> int:
    """Into how many a shard's roll-up is divided: one for as many raw rows as a task holds at once."""
    return max(1, -(-task.work // at_once))
