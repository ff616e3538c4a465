"""The recount by several processes of this machine: slices of all shards at once, then the parts of their roll-ups."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from batch.distribute import Distribute, parts_of_rollup
from batch.plan import ShardTask
from batch.start import Step, Watch
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tallymark.store.open import store_of_process

if TYPE_CHECKING:
    from batch.counting.slices import Counts, Slice

__all__ = ["side_by_side"]

_SCRATCH: Final = "recount-"
_ABANDONED: Final = 24 * 3600.0  # seconds: no recount takes so long


def side_by_side(settings: Settings, *, processes: int) -> Distribute:
    """In so many processes of this machine, each of which opens the store of `settings` for itself.

    What slices hand on waits in files, so that memory does not grow with how much is recounted.
    """

    def distribute(tasks: Sequence[ShardTask], watch: Watch) -> list[Counts]:
        with _scratch(settings.home) as folder, _pool(processes) as pool:
            return _Run(pool, settings, tasks, watch, folder).counts()

    return distribute


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
