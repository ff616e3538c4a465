"""A lease: at most one process does a kind of work at a time, and whoever comes second can say who does it (ADR 35).

The lease is a document of the view store, moved by compare-and-set and renewed while the work goes on. It cannot stop
a process that sleeps for longer than its lease and then goes on. So work that must not meet another's confirms the
lease immediately before what the other would collide with: that is one more compare-and-set, which fails when somebody
else has taken it, and which begins the whole length anew.

    free, or its process died on this machine   taken at once, so that a restart does not wait
    held by a process here that lives           LeaseHeld
    held on another machine                     LeaseHeld until it runs out; with `wait`, taken when it has not been
                                                renewed for its whole length, by the clock of this machine
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
import psutil

from tallymark.documents.document import About, Document
from tallymark.errors import Damaged, LeaseHeld, Unavailable
from tallymark.instants import EPOCH, utc_now
from tallymark.store import ViewStore

__all__ = ["LENGTH", "Lease", "held_since", "holding"]

LENGTH: Final = timedelta(seconds=60)
_FREE: Final = EPOCH
_LOOKS: Final = 60  # while waiting for a length


class _Holder(Document, frozen=True, kw_only=True):
    """Who works, since when, and until when at the latest.

    `started` tells a process from a later one with the same number, `space` from one with the same number in another
    container, and `token` one lease of a process from its next.
    """

    ABOUT = About(
        kind="lease/",
        touches="the work of that name, which one process does at a time: nobody can begin it, and whoever is at it "
        "ends. Answers go on as they are",
        without="end whoever does that work, and remove it: it says nothing but who that is",
    )

    host: str
    pid: int
    started: float
    until: datetime
    since: datetime | None = None
    space: str = ""
    token: str = ""

    def is_gone(self) -> bool:
        """Given back, or its process ran here and has ended."""
        return self.until == _FREE or (self.is_here() and not _is_alive(self.pid, self.started))

    def is_here(self) -> bool:
        return self.host == socket.gethostname() and self.space in {"", _space()}

    def __str__(self) -> str:
        since = f" since {self.since:%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"process {self.pid} on {self.host}{since}"


class Lease:
    """A lease that this process holds. Made by `holding`; may be confirmed by any thread."""

    def __init__(
        self, store: ViewStore, work: str, *, length: timedelta = LENGTH, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = store
        self._work = work
        self._name = f"lease/{work}"
        self._length = length
        self._now = now
        self._turn = threading.Lock()
        started = psutil.Process().create_time()
        self._mine = _Holder(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=started,
            until=_FREE,
            since=now(),
            space=_space(),
            token=uuid4().hex,
        )
        self._stored: bytes | None = None

    def confirm(self) -> None:
        """Renew it now: nobody else takes it for its whole length from here.

        Raises LeaseHeld when somebody has taken it meanwhile, StoreUnavailable when it cannot be known, Damaged when
        its document cannot be read.
        """
        with self._turn:
            self._move(self._now() + self._length)

    def take(self, *, wait: bool, stop: threading.Event) -> None:
        """Raises LeaseHeld, which names the holder. `stop` ends a wait."""
        self._stored = self._store.read_document(self._name)
        held = self._decoded(self._stored)
        if held is not None and not held.is_gone():
            self._outlast(held, wait=wait, stop=stop)
        self.confirm()

    def give_back(self) -> None:
        with self._turn:
            self._move(_FREE)

    def _outlast(self, held: _Holder, *, wait: bool, stop: threading.Event) -> None:
        """Return when `held` has run out. Raises LeaseHeld when it has not, or is renewed while we wait."""
        late = self._now() - held.until
        if late >= (self._length if wait else timedelta()):  # clocks of two machines differ, but not by that much
            return
        if not wait or held.is_here():
            raise LeaseHeld(self._explained(held))
        deadline = time.monotonic() + self._length.total_seconds()
        while time.monotonic() < deadline:
            stored = self._store.read_document(self._name)
            now = self._decoded(stored)
            if now is not None and now.is_gone():
                self._stored = stored
                return
            if stop.wait(self._length.total_seconds() / _LOOKS) or now is None or now.until > held.until:
                raise LeaseHeld(self._explained(now or held))

    def _move(self, until: datetime) -> None:
        moved = msgspec.structs.replace(self._mine, until=until).to_json()
        if not self._store.swap_document(self._name, self._stored, moved):
            stored = self._store.read_document(self._name)
            found = self._decoded(stored)
            # ours all the same: an earlier swap was made, but the store's answer to it was lost
            ours = found is not None and found.token == self._mine.token
            if not ours or not self._store.swap_document(self._name, stored, moved):
                raise LeaseHeld(self._explained(found))
        self._stored = moved

    def _decoded(self, stored: bytes | None) -> _Holder | None:
        return _Holder.found(stored, self._name)

    def _explained(self, held: _Holder | None) -> str:
        who = held or "another process"
        until = ""
        if held is not None and held.until != _FREE:
            until = f" (its lease runs until {held.until:%H:%M:%S} UTC and is renewed while it works)"
        return (
            f"another {self._work} runs: {who}{until}; wait for it, or end that process: then this one can start, at "
            f"once on the same machine, otherwise {self._length.total_seconds():.0f} s after that one's end"
        )


@contextmanager
def holding(
    store: ViewStore,
    work: str,
    *,
    now: Callable[[], datetime] = utc_now,
    length: timedelta = LENGTH,
    wait: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Lease]:
    """Hold the lease of `work` while inside, renewing it. Raises LeaseHeld, which names the holder, when it is taken,
    and Damaged when its document cannot be read.

    `wait`: wait for one of another machine to run out, at most for its length, or until `stop` is set.
    """
    lease = Lease(store, work, length=length, now=now)
    lease.take(wait=wait, stop=stop or threading.Event())
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lease, length, done), name=f"lease of {work}", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        done.set()
        renewing.join()
        with suppress(Unavailable, LeaseHeld, Damaged):  # it runs out by itself, somebody has it, or must mend it
            lease.give_back()


def held_since(store: ViewStore, work: str) -> datetime | None:
    """Since when somebody does that work, by that process's clock; None when nobody does."""
    held = _Holder.read(store, f"lease/{work}")
    return None if held is None or held.is_gone() else held.since or _FREE


def _renew(lease: Lease, length: timedelta, done: threading.Event) -> None:
    """Renew until `done`, or until somebody else has taken or damaged it: who works finds that out when confirming."""
    while not done.wait(length.total_seconds() / 4):
        try:
            lease.confirm()
        except (LeaseHeld, Damaged):
            return
        except Unavailable:
            continue  # asked again: at worst the lease runs out


def _is_alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < 1) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _space() -> str:
    """What tells process numbers of this container from those of another one on this machine; empty where unknown."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
