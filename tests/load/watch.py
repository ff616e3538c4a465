"""What a system holds while it runs: the memory of each of its processes, and the files of its home."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean
from typing import Final, NamedTuple

import psutil

from infra.host.home import Home
from infra.system import running as state_of
from tallymark.settings import Settings
from tests.bench.phases import beside

__all__ = ["Look", "looking", "slope_per_minute"]

_LOOK_EVERY: Final = 20.0
_MB: Final = 1e6


class Look(NamedTuple):
    """`memory`: MB by process, of pages that are shared each its part. `restarts`: how often each was started again.
    `files`, `disk`: how many files there are, and how many MB, by folder of home."""

    at: float  # epoch
    memory: dict[str, float]
    restarts: dict[str, int]
    files: dict[str, int]
    disk: dict[str, float]


@contextmanager
def looking(settings: Settings) -> Iterator[list[Look]]:
    """The looks that are taken while inside, one every twenty seconds. Before each, Java is asked to collect its
    garbage: what it then holds is what it needs, and not what it has not tidied up yet."""
    looks: list[Look] = []

    def look(ended: threading.Event) -> None:
        while not ended.wait(_LOOK_EVERY):
            looks.append(_look(settings))

    with beside(look):
        yield looks


def slope_per_minute(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits (seconds, value) best. ((0, 1), (30, 2), (60, 3)): 2 a minute."""
    mean_at, mean = fmean(at for at, _ in points), fmean(value for _, value in points)
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return 60 * sum((at - mean_at) * (value - mean) for at, value in points) / spread if spread else 0.0


def _look(settings: Settings) -> Look:
    memory: dict[str, float] = defaultdict(float)
    for name, process in _processes(settings):
        with suppress(psutil.Error):  # it has ended
            if process.name() == "java":
                _collect(process.pid)
            memory[name] += process.memory_full_info().pss / _MB
    state = state_of(Home(settings.home))
    restarts = {named.name: named.restarts for named in state.processes} if state else {}
    files, disk = _files(settings.home)
    return Look(time.time(), dict(memory), restarts, files, disk)


def _processes(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    state = state_of(Home(settings.home))
    for named in state.processes if state else ():
        with suppress(psutil.Error):
            process = psutil.Process(named.pid)
            yield named.name, process
            for child in process.children(recursive=True):
                yield f"{named.name}, {_kind(child)}", child


def _kind(process: psutil.Process) -> str:
    return "Java" if process.name() == "java" else "workers"


def _collect(pid: int) -> None:
    """Where there is no jcmd, Java keeps its garbage."""
    with suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["jcmd", str(pid), "GC.run"], capture_output=True, timeout=10, check=False)


def _files(home: Path) -> tuple[dict[str, int], dict[str, float]]:
    files: dict[str, int] = defaultdict(int)
    disk: dict[str, float] = defaultdict(float)
    for folder, _, names in os.walk(home):
        for name in names:
            part = _part(home, Path(folder) / name)
            with suppress(OSError):  # it is gone
                disk[part] += (Path(folder) / name).stat().st_size / _MB
                files[part] += 1
    return dict(files), dict(disk)


def _part(home: Path, path: Path) -> str:
    """`raw/day=…/x.parquet` is of raw, `log.sqlite-wal` of log.sqlite."""
    return path.relative_to(home).parts[0].removesuffix("-wal").removesuffix("-shm")
