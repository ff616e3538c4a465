"""How much memory the whole demo takes: the system, the commands that it calls, and itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import psutil

from infra.host.sessions import memory

__all__ = ["MemoryWatch"]

_EVERY: Final = 1.0  # seconds
_SETTLED: Final = 5.0  # seconds; a process that was just forked still has the environment of the one that forked it


class MemoryWatch:
    """While inside `with`, looks at all processes of the systems in `homes` every second. `peak` in bytes."""

    def __init__(self, homes: Iterable[Path]) -> None:
        self._homes = frozenset(map(str, homes))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._ours: dict[int, psutil.Process] = {}
        self._others: set[int] = set()
        self.peak = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            self.peak = max(self.peak, memory([psutil.Process(), *self._processes()]))

    def _processes(self) -> list[psutil.Process]:
        """Those whose environment names one of the homes: all that the supervisor and the commands have started."""
        now = set(psutil.pids())
        self._others &= now
        for pid in now - self._others - set(self._ours):
            try:
                process = psutil.Process(pid)
                if process.environ().get("TALLYMARK_HOME") in self._homes:
                    self._ours[pid] = process
                elif time.time() - process.create_time() > _SETTLED:
                    self._others.add(pid)
            except psutil.Error:
                self._others.add(pid)
        self._ours = {pid: process for pid, process in self._ours.items() if pid in now}
        return list(self._ours.values())
