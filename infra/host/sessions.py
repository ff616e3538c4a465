"""Every child leads a session of its own: what it starts (a JVM, Spark's workers) belongs to it and ends with it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import psutil

__all__ = ["end_session", "members", "memory"]

_CLOCK_STEP: Final = 2.0  # seconds by which a process may seem to start before its note: the time of boot is whole
_ENDED_WITHIN: Final = 5.0
_EXEC_WITHIN: Final = 1.0


def members(session: int, *, home: Path, since: float) -> list[psutil.Process]:
    """The processes of `session` that were started for `home` after `since` (epoch seconds).

    A session number is used again after a reboot; what runs for another home, or is older, is not ours.
    """
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) != session:
                continue
            process = psutil.Process(pid)
            young = process.create_time() >= since - _CLOCK_STEP
            if young and _environment(process).get("TALLYMARK_HOME") == str(home):
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return found


def _environment(process: psutil.Process) -> dict[str, str]:
    """What the process was started with; raises psutil.Error.

    Linux shows an empty environment in the middle of an exec, when the parent already goes on: that is waited out.
    """
    deadline = time.monotonic() + _EXEC_WITHIN
    found: dict[str, str] = process.environ()
    while not found and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.001)
        found = process.environ()
    return found


def end_session(session: int, *, home: Path, since: float) -> int:
    """Kill what is left of a session and return how many processes that were. Nobody is left when it returns."""
    killed = 0
    deadline = time.monotonic() + _ENDED_WITHIN
    while left := members(session, home=home, since=since):
        for process in left:
            process.kill()
            killed += 1
        psutil.wait_procs(left, timeout=1)
        if time.monotonic() > deadline:
            break
    return killed


def memory(processes: list[psutil.Process]) -> int:
    """Bytes that `processes` really take: pages that they share are counted once (where the system can tell)."""
    total = 0
    for process in processes:
        try:
            full = process.memory_full_info()
            total += getattr(full, "pss", full.uss)
        except psutil.Error:
            continue
    return total
