"""At most one recount works at a time, so that none works for nothing.

A courtesy, not a safeguard: two that met all the same, say because a machine slept longer than its lease, would do no
harm. Attempts are ordered by `attempts.begin`, the later one counts all that the earlier one may write, and of two that
would publish, the second finds that the publication has moved.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import psutil

from tallymark.errors import LeaseHeld, Unavailable
from tallymark.store import ViewStore

__all__ = ["holding"]

_NAME: Final = "lease/recompute"
_LENGTH: Final = timedelta(seconds=60)
_FREE: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who works, until when at the latest. `started` tells a process from a later one with the same number."""

    host: str
    pid: int
    started: float
    until: datetime

    def is_held(self, now: datetime) -> bool:
        """False as soon as its time is over, or its process, if that ran on this machine."""
        return now < self.until and (self.host != socket.gethostname() or _is_alive(self.pid, self.started))


@contextmanager
def holding(store: ViewStore, now: Callable[[], datetime]) -> Iterator[None]:
    """Hold the lease while inside, renewing it. Raises LeaseHeld, which names the holder, when another process does."""
    pid = os.getpid()
    mine = _Lease(host=socket.gethostname(), pid=pid, started=psutil.Process(pid).create_time(), until=_FREE)
    taken = _take(store, mine, now())
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, taken, now, done), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()


def _take(store: ViewStore, mine: _Lease, now: datetime) -> bytes:
    stored = store.read_document(_NAME)
    held = None if stored is None else msgspec.json.decode(stored, type=_Lease)
    taken = _until(mine, now + _LENGTH)
    if (held is None or not held.is_held(now)) and store.swap_document(_NAME, stored, taken):
        return taken
    raise LeaseHeld(_explain(held))


def _renew(store: ViewStore, taken: bytes, now: Callable[[], datetime], done: threading.Event) -> None:
    """Renew until `done`, then give back. Ends early when somebody else has taken the lease."""
    mine = msgspec.json.decode(taken, type=_Lease)
    while True:
        finished = done.wait(_LENGTH.total_seconds() / 4)
        renewed = _until(mine, _FREE if finished else now() + _LENGTH)
        # a store that does not answer now is asked again: at worst the lease runs out, which is safe
        with suppress(Unavailable):
            if not store.swap_document(_NAME, taken, renewed):
                return
            taken = renewed
        if finished:
            return


def _until(lease: _Lease, until: datetime) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(lease, until=until))


def _is_alive(pid: int, started: float) -> bool:
    try:
        return bool(abs(psutil.Process(pid).create_time() - started) < 1)
    except psutil.NoSuchProcess:
        return False


def _explain(held: _Lease | None) -> str:
    who = f"process {held.pid} on {held.host}" if held else "another process"
    until = f" (its lease runs until {held.until:%H:%M:%S} UTC and is renewed while it works)" if held else ""
    return f"another recompute runs: {who}{until}; wait for it, or end that process"
