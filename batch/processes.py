"""The recount by several processes of this machine: slices of all shards at once, then the parts of their roll-ups."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
        self._pool = pool
        self._settings = settings
        self._tasks = tasks
        self._watch = watch
        self._folder = folder
        self._counts: list[Counts] = []
        self._waiting: dict[Future[Any], Callable[[Any], None]] = {}
        self._done: Counter[Step] = Counter()

    def counts(self) -> list[Counts]:
        from batch.counting.slices import slices

        at_once = self._settings.recount_rows
        for task in self._tasks:
            parts = parts_of_rollup(task, at_once)
            todo = list(slices(task, rows_each=at_once, at_once=at_once, parts=parts))
            shard = _Shard(task, left=len(todo), handed=[[] for _ in range(parts)])
            for one in todo:
                self._submit(partial(self._counted, shard), _count, self._settings, one, self._folder)
        while self._waiting:
            for future in wait(self._waiting, return_when=FIRST_COMPLETED).done:
                self._waiting.pop(future)(future.result())
        return self._counts

    def _submit(self, then: Callable[[Any], None], run: Callable[..., object], *arguments: object) -> None:
        self._waiting[self._pool.submit(run, *arguments)] = then

    def _counted(self, shard: _Shard, found: tuple[Counts, list[Path]]) -> None:
        counts, given = found
        self._counts.append(counts)
        for of_part, some in zip(shard.handed, given, strict=True):
            of_part.append(some)
        if not self._is_last(shard, Step.COUNT):
            return
        parts = shard.left = len(shard.handed)
        for part, of_part in enumerate(shard.handed):
            then = partial(self._rolled_up, shard)
            self._submit(then, _roll_up, self._settings, shard.task, of_part, part, parts)

    def _rolled_up(self, shard: _Shard, counts: Counts) -> None:
        self._counts.append(counts)
        self._is_last(shard, Step.ROLL_UP)

    def _is_last(self, shard: _Shard, step: Step) -> bool:
        """Notes that one more of the shard's is done; with the last of them, so is that step of the shard."""
        shard.left -= 1
        if shard.left:
            return False
        self._done[step] += 1
        self._watch(step, self._done[step], len(self._tasks))
        return True


@dataclass
class _Shard:
    """`left`: how many slices, and then parts of the roll-up, are not done. `handed`: files for each of those parts."""

    task: ShardTask
    left: int
    handed: list[list[Path]]


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
