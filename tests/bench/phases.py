"""What every benchmark does while it runs: a line for each phase, and an end in any case."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import psutil

__all__ = ["beside", "deadline", "number", "say"]


def say(phase: str) -> None:
    """A line on stderr, with the minutes and seconds since this process began."""
    minutes, seconds = divmod(int(time.time() - psutil.Process().create_time()), 60)
    print(f"{minutes:3d}:{seconds:02d} {phase}", file=sys.stderr, flush=True)


def number(variable: str, default: int) -> int:
    """How much to do: what the environment variable says, else the default."""
    return int(os.environ.get(variable, default))


@contextmanager
def beside(work: Callable[[threading.Event], object]) -> Iterator[None]:
    """Runs `work` in a thread of its own while what is inside runs; it is told to end by the event, and waited for."""
    ended = threading.Event()
    thread = threading.Thread(target=work, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def deadline(minutes: float) -> Iterator[None]:
    """Ends the process when what is inside takes longer, and at SIGTERM; what was started is ended first."""

    def too_late(*_: Any) -> NoReturn:
        sys.exit(f"not done within {minutes:g} minutes")

    def ended(*_: Any) -> NoReturn:
        sys.exit("ended by SIGTERM")

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, minutes * 60)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
