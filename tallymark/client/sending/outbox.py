"""Events that wait for a gateway's answer: bounded, in order, shared by those who make them and those who send."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from tallymark.client.sending.gateways import NotTaken
from tallymark.errors import TallymarkError, Unavailable
from tallymark.event import Event, encode

if TYPE_CHECKING:
    from tallymark.client.sending.spill import Spill

__all__ = ["Batch", "Limits", "Outbox", "WhenFull"]

WhenFull = Literal["raise", "drop"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`buffer`: in memory; `batch`: of one post. Bytes are those of encoded events. `linger`: seconds."""

    buffer: int
    buffer_bytes: int
    batch: int
    batch_bytes: int
    linger: float


class Batch(NamedTuple):
    first: int
    records: list[bytes]

    @property
    def end(self) -> int:
        return self.first + len(self.records)


class Outbox:
    """An event stays until it is settled, so what is being sent counts as waiting.

    A batch that is smaller than allowed is ready when its first event has waited for `linger` seconds, or somebody
    waits for it to be settled.

    Events are numbered (`seq`) in the order of the box, so that a number that never arrives tells of a loss. The number
    of one that was refused is given to the next event; that of one that was dropped to none.
    """

    def __init__(self, limits: Limits, *, when_full: WhenFull = "raise", spill: Spill | None = None) -> None:
        self._limits = limits
        self._when_full = when_full
        self._spill = spill
        self._lock = threading.RLock()  # a signal's handler may close what its thread is putting into
        self._changed = threading.Condition(self._lock)
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._settled, self._first = spill.positions if spill else (0, 0)  # `_first`: the position of `_waiting[0]`
        self._spilled_until = self._first
        self._moving = threading.RLock()  # held by who moves a batch to disk
        self._wanted = 0  # somebody waits until everything before that position is settled
        self._next = 0  # the lowest number that was not given yet
        self._returned: list[int] = []  # a heap
        self._away: NotTaken | None = None
        self._disk_full: Unavailable | None = None
        self._end: Exception | None = None
        self.dropped = 0
        self.wake: Callable[[], None] = lambda: None  # called, under the lock, when the first event comes

    def put(self, event: Event) -> bool:
        """Number the event and let it wait; False if it was dropped. Raises Unavailable when the box is full, and what
        ended it."""
        limits = self._limits
        with self._lock:
            if self._end is not None or self._is_full():
                self._make_room()
                if self._end is not None or self._is_full():
                    return self._refuse()
            record = encode(msgspec.structs.replace(event, seq=self._number()))
            self._waiting.append(record)
            waiting, before = len(self._waiting), self._bytes
            self._bytes = before + len(record)
            if waiting == 1:
                self.wake()
                self._changed.notify_all()
            elif waiting == limits.batch or before < limits.batch_bytes <= self._bytes:
                self._changed.notify_all()
            return True

    def next_batch(self) -> Batch | None:
        """Waits for a batch, which stays in the box; None when the box has ended. Raises what the spill raises."""
        with self._lock:
            self._changed.wait_for(lambda: self._waiting or self._settled < self._first or self._end)
            if self._settled == self._first:
                self._changed.wait_for(self._is_ready, self._limits.linger)
            if self._end is not None:
                return None
            position = self._settled
            if position == self._first:
                return Batch(position, self._take())
        assert self._spill is not None
        first, records = self._spill.read(position, events=self._limits.batch, size=self._limits.batch_bytes)
        return Batch(first, self._within(records))

    def settle(self, batch: Batch, events: int) -> None:
        """The first `events` of the batch were answered for."""
        with self._lock:
            self._away = None
            self._settled = batch.first + events
            self._let_go(self._settled)
            self._changed.notify_all()
        if self._spill is not None and batch.first < self._spilled_until:
            self._spill.forget(self._settled)

    def give_back(self, number: int) -> None:
        """The event of that number was refused, and is nowhere."""
        with self._lock:
            heappush(self._returned, number)

    def away(self, why: NotTaken) -> bool:
        """No gateway takes anything. Returns whether that is news."""
        with self._lock:
            news = self._away is None or self._away.lasting != why.lasting
            self._away = why
            self._changed.notify_all()
            return news

    def spill_next(self) -> Unavailable | None:
        """Wait until events are to be moved to disk, and move some. Returns what is newly wrong with the disk."""
        known = self._disk_full
        with self._lock:
            self._changed.wait_for(self._is_to_spill)
            self._changed.wait_for(lambda: self._is_ready() or self._is_half_full(), self._limits.linger)
        if self._end is not None or self._move():
            return None
        with self._lock:
            self._changed.wait_for(lambda: self._end, 1.0)  # then what was sent meanwhile has left room
        return None if known else self._disk_full

    def spill_all(self) -> None:
        """Move to disk what waits, as far as it takes it, once the box has ended."""
        while self._spill is not None and self._waiting and self._move():
            pass

    def empty(self) -> list[bytes]:
        """Drop what waits in memory, once the box has ended."""
        with self._lock:
            records = list(self._waiting)
            self._let_go(self._first + len(records))
            self.dropped += len(records)
            return records

    def wait(self, timeout: float) -> None:
        """Returns when all that was put so far is settled. Raises Unavailable after `timeout` seconds, TallymarkError
        while gateways refuse what is sent, and what has ended the box before."""
        with self._lock:
            wanted = self._wanted = self._first + len(self._waiting)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._settled >= wanted or self._end or self._is_refused(), timeout)
            if self._settled < wanted:
                raise self._end or self._why_not(wanted - self._settled, timeout)

    def end(self, why: Exception) -> None:
        """From now on `put` and `wait` raise `why`, or what ended the box before."""
        with self._lock:
            self._end = self._end or why
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Sleep that the end of the box cuts short."""
        with self._lock:
            self._changed.wait_for(lambda: self._end, seconds)

    @property
    def ended(self) -> bool:
        return self._end is not None

    @property
    def problem(self) -> str | None:
        """Why nothing is being delivered now."""
        return str(self._end or self._away) if self._end or self._away else None

    @property
    def in_memory(self) -> tuple[int, int]:
        """Events, bytes."""
        return len(self._waiting), self._bytes

    @property
    def on_disk(self) -> int:
        return max(0, min(self._first, self._spilled_until) - self._settled)

    def _take(self) -> list[bytes]:
        return self._within(list(islice(self._waiting, self._limits.batch)))

    def _within(self, records: list[bytes]) -> list[bytes]:
        """As many as one post may hold; at least one."""
        total = 0
        for count, record in enumerate(records):
            total += len(record)
            if count and (total > self._limits.batch_bytes or count >= self._limits.batch):
                return records[:count]
        return records

    def _move(self) -> bool:
        """Move a batch to disk, if anything waits; False when there is no room."""
        assert self._spill is not None
        with self._moving:
            with self._lock:
                batch = Batch(self._first, self._take())
                self._spilled_until = batch.end
            try:
                if batch.records:
                    self._spill.append(batch.first, batch.records)
            except Unavailable as full:
                self._disk_full = full
                self._spilled_until = batch.first
                return False
            with self._lock:
                self._disk_full = None
                self._let_go(batch.end)
                settled = self._settled
            if settled > batch.first:
                self._spill.forget(settled)  # it was answered for while it was written
            return True

    def _make_room(self) -> None:
        """Who makes events faster than they are moved to disk moves some, which takes a few milliseconds."""
        if self._spill is None or self._disk_full is not None or self._end is not None:
            return
        self._lock.release()
        try:
            self._move()
        finally:
            self._lock.acquire()

    def _let_go(self, until: int) -> None:
        while self._first < until:
            self._bytes -= len(self._waiting.popleft())
            self._first += 1

    def _refuse(self) -> bool:
        if self._end is not None:
            raise self._end
        if self._when_full == "drop":
            self.dropped += 1
            self._number()  # which will be missing, so that an audit can tell
            return False
        says = f"{len(self._waiting)} events wait for the gateway already; slow down, or make the buffer larger"
        raise Unavailable("; ".join([says, *(str(why) for why in (self._away, self._disk_full) if why is not None)]))

    def _why_not(self, events: int, timeout: float) -> TallymarkError:
        if self._is_refused():
            return TallymarkError(f"no gateway takes the {events} events that wait: {self._away}")
        because = f": {self._away}" if self._away else ""
        return Unavailable(f"the gateway did not answer for {events} events within {timeout:g} s{because}")

    def _number(self) -> int:
        if self._returned:
            return heappop(self._returned)
        self._next += 1
        return self._next - 1

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._limits.buffer or self._bytes >= self._limits.buffer_bytes

    def _is_refused(self) -> bool:
        return self._away is not None and self._away.lasting

    def _is_ready(self) -> bool:
        return (
            len(self._waiting) >= self._limits.batch
            or self._bytes >= self._limits.batch_bytes
            or self._settled < self._wanted
            or self._end is not None
        )

    def _is_to_spill(self) -> bool:
        away = self._away is not None and bool(self._waiting)
        return self._end is not None or away or self._is_half_full()

    def _is_half_full(self) -> bool:
        return len(self._waiting) * 2 > self._limits.buffer or self._bytes * 2 > self._limits.buffer_bytes
