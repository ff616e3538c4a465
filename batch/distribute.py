"""Who does the work: this process, several on this machine, or Spark (`on_spark`). ADR 28 and ADR 50 say why.

    tasks by shard ──▶ slices, in any order ──▶ parts of each shard's roll-up ──▶ what was counted

All run the same functions on the same tasks.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from batch.plan import ShardTask
from batch.start import Step, Watch
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.open import store_of_process

if TYPE_CHECKING:
    from batch.counting.slices import Counts, Handed, Slice

__all__ = ["Distribute", "by_size", "on_this_machine", "parts_of_rollup", "serially", "side_by_side"]

Distribute = Callable[[Sequence[ShardTask], Watch], "list[Counts]"]
"""Run all tasks and tell the watcher as shards are done. What goes wrong in a task is raised."""
_SCRATCH: Final = "recount-"
_ABANDONED: Final = 24 * 3600.0  # seconds: no recount takes so long
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


def side_by_side(settings: Settings, *, processes: int) -> Distribute:
    """In so many processes of this machine, each of which opens the store of `settings` for itself.

    What slices hand on waits in files, so that memory does not grow with how much is recounted.
    """

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        with _scratch(settings.home) as folder, _pool(processes) as pool:
            return _Run(pool, settings, tasks, watch, folder).counts()

    return distribute


def on_this_machine(store: ViewStore, settings: Settings) -> Distribute:
    """In this process what is little, and what is much in as many as there are cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return by_size(serially(store, at_once=settings.recount_rows), side_by_side(settings, processes=cores))


def by_size(here: Distribute, there: Distribute) -> Distribute:
    """`here` when there is little to count, `there` when there is much."""

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        rows = sum(task.work for task in tasks)
        return (here if rows <= _FEW_ROWS else there)(tasks, watch)

    return distribute


def parts_of_rollup(task: ShardTask, at_once: int) -> int:
    """Into how many a shard's roll-up is divided: one for as many raw rows as a task holds at once."""
    return max(1, -(-task.work // at_once))


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A folder for the time of a recount. Those of recounts that were killed are removed, a day later."""
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(f"{_SCRATCH}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=_SCRATCH, dir=home) as folder:
        yield Path(folder)


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"  # each core has a process already; read when they import it
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ProcessError(
            "a process of the recount was ended from outside, perhaps for want of memory; nothing was published and "
            "nothing is lost: run it again, with a smaller TALLYMARK_RECOUNT_ROWS when it happens again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        os.environ.pop("POLARS_MAX_THREADS")
        if before is not None:
            os.environ["POLARS_MAX_THREADS"] = before


class _Run:
    """Slices of all shards at once; the roll-up of a shard begins when its slices have ended."""

    def __init__(
        self,
        pool: ProcessPoolExecutor,
        settings: Settings,
        tasks: Sequence[ShardTask],
        watch: Watch,
        folder: Path,
    ) -> None:
        self._folder = folder
        self._pool = pool
        self._settings = settings
        self._watch = watch
        self._tasks = tasks
        self._counts: list[Counts] = []
        self._handed: list[list[list[Path]]] = []
        self._waiting: dict[Future[tuple[Counts, list[Path]]] | Future[Counts], int] = {}
        self._left: list[int] = []
        self._shards_done = 0

    def counts(self) -> list[Counts]:
        from batch.counting.slices import slices

        at_once = self._settings.recount_rows
        for number, task in enumerate(self._tasks):
            parts = parts_of_rollup(task, at_once)
            self._handed.append([[] for _ in range(parts)])
            of_task = list(slices(task, rows_each=at_once, at_once=at_once, parts=parts))
            self._left.append(len(of_task))
            for one in of_task:
                self._waiting[self._pool.submit(_count, self._settings, one, self._folder)] = number
        while self._waiting:
            done: set[Future[Any]] = wait(list[Future[Any]](self._waiting), return_when=FIRST_COMPLETED).done
            for future in done:
                self._note(future.result(), self._waiting.pop(future))
        return self._counts

    def _note(self, found: tuple[Counts, list[Path]] | Counts, number: int) -> None:
        self._left[number] -= 1
        if not isinstance(found, tuple):
            self._counts.append(found)
            self._shards_done += not self._left[number]
            self._watch(Step.ROLL_UP, self._shards_done, len(self._tasks))
            return
        counted, given = found
        self._counts.append(counted)
        handed = self._handed[number]
        for of_part, some in zip(handed, given, strict=True):
            of_part.append(some)
        if self._left[number]:
            return
        self._watch(Step.COUNT, number, len(self._tasks))
        self._left[number] = len(handed)
        for part, of_part in enumerate(handed):
            task = self._tasks[number]
            future = self._pool.submit(_roll_up, self._settings, task, of_part, part, len(handed))
            self._waiting[future] = number
        self._handed[number] = []


def _count(settings: Settings, one: Slice, folder: Path) -> tuple[Counts, list[Path]]:
    """What was counted, and the files with what is handed to each part of the roll-up."""
    from batch.counting.slices import count_slice

    counts, handed = count_slice(one, store_of_process(settings))
    paths = [folder / uuid4().hex for _ in handed]
    for path, some in zip(paths, handed, strict=True):
        path.write_bytes(pickle.dumps(some, protocol=5))
    return counts, paths


def _roll_up(settings: Settings, task: ShardTask, paths: list[Path], part: int, parts: int) -> Counts:
    from batch.counting.rollup import roll_up

    handed = [pickle.loads(path.read_bytes()) for path in paths]  # noqa: S301 - of `_count`
    counts = roll_up(task, handed, store_of_process(settings), part=part, parts=parts)
    for path in paths:
        path.unlink()
    return counts
