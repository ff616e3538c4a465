"""Locks: short pieces of work that must not meet, in processes that all go on running (ADR 38).

A lock is a lease that is given back at once, so whoever comes second waits instead of giving up.
Where one is taken again and again, leave a pause of more than `PAUSE` between two, or others starve.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Final

from tallymark.errors import LeaseHeld, Unavailable
from tallymark.store import ViewStore
from tallymark.store.lease import Lease, holding

__all__ = ["PAUSE", "RAW_COMMIT", "locking"]

PAUSE: Final = timedelta(milliseconds=200)
RAW_COMMIT: Final = "raw-commit"
"""The lock of whoever makes the next version of the raw table: the archive, or compaction."""


@contextmanager
def locking(
    store: ViewStore,
    work: str,
    *,
    patience: timedelta = timedelta(minutes=2),
    stop: threading.Event | None = None,
) -> Iterator[Lease]:
    """Hold the lock of `work` while inside; confirm it before what must not meet another's.

    Raises Unavailable, which says who holds it, when it is not to be had within `patience`, or `stop` is set meanwhile.
    """
    stop = stop or threading.Event()
    deadline = time.monotonic() + patience.total_seconds()
    with ExitStack() as stack:
        yield _wait_for(store, work, stack, stop, deadline)


def _wait_for(store: ViewStore, work: str, stack: ExitStack, stop: threading.Event, deadline: float) -> Lease:
    while True:
        try:
            return stack.enter_context(holding(store, work, wait=True, stop=stop))
        except LeaseHeld as held:
            if stop.wait(PAUSE.total_seconds()) or time.monotonic() > deadline:
                raise Unavailable(f"waited in vain for the lock of {work}: {held}") from held
