"""Taking turns: short pieces of work that must not meet, in processes that all go on running.

A turn is a lease that is given back at once, so whoever comes second waits instead of giving up.
Where a turn is taken again and again, leave a pause of more than `PAUSE` between two, or others starve.
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

__all__ = ["PAUSE", "RAW_COMMIT", "taking_turn"]

PAUSE: Final = timedelta(milliseconds=200)
RAW_COMMIT: Final = "raw-commit"
"""The turn of whoever makes the next version of the raw table: the archive, or compaction."""


@contextmanager
def taking_turn(
    store: ViewStore,
    work: str,
    *,
    patience: timedelta = timedelta(minutes=2),
    stop: threading.Event | None = None,
) -> Iterator[Lease]:
    """Have the turn of `work` while inside; confirm it before what must not meet another's.

    Raises Unavailable, which says who has it, when it does not come within `patience`, or `stop` is set meanwhile.
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
                raise Unavailable(f"waited in vain for the turn of {work}: {held}") from held
