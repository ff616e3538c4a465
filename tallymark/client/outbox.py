"""Events that wait for the gateway's answer: bounded, in order, shared by those who make them and the one who sends."""

from __future__ import annotations

import threading
from collections import deque
from heapq import heappop, heappush
from itertools import islice

import msgspec

from tallymark.errors import Unavailable
from tallymark.event import Event

__all__ = ["Outbox"]


class Outbox:
    """Holds up to `most` events. An event stays until it is settled, so what is being sent counts as waiting.

    Batches have up to `batch` events; a smaller one is ready when its first event has waited for `linger` seconds, or
    somebody waits for it to be settled.

    Events are numbered (`seq`) in the order of the box, so that a number that never arrives tells of a loss. The number
    of one that was refused is given to the next event.
    """

    def __init__(self, *, most: int, batch: int, linger: float) -> None:
        self._most, self._batch, self._linger = most, batch, linger
        self._waiting: deque[Event] = deque()
        self._taken = 0  # settled ones, and those that wait
        self._next = 0  # the lowest number that was not given yet
        self._returned: list[int] = []  # a heap
        self._settled = 0
        self._wanted = 0  # somebody waits until that many are settled
        self._end: Exception | None = None
        self._changed = threading.Condition()

    def put(self, event: Event) -> None:
        """Number the event and let it wait. Raises Unavailable when the box is full, and what ended it."""
        with self._changed:
            if self._end is not None:
                raise self._end
            if len(self._waiting) >= self._most:
                raise Unavailable(
                    f"{self._most} events wait for the gateway already; slow down, or make the buffer larger"
                )
            self._waiting.append(msgspec.structs.replace(event, seq=self._number()))
            self._taken += 1
            if len(self._waiting) in {1, self._batch}:
                self._changed.notify_all()

    def next_batch(self) -> list[Event]:
        """Waits for a batch, which stays in the box; empty when the box has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._end)
            self._changed.wait_for(self._is_ready, self._linger)
            return [] if self._end else list(islice(self._waiting, self._batch))

    def settle(self, events: int) -> None:
        """The first `events` were answered for."""
        with self._changed:
            for _ in range(events):
                self._waiting.popleft()
            self._settled += events
            self._changed.notify_all()

    def give_back(self, number: int) -> None:
        """The event of that number was refused, and is nowhere."""
        with self._changed:
            heappush(self._returned, number)

    def wait(self, timeout: float) -> None:
        """Returns when all that was put so far is settled. Raises Unavailable after `timeout` seconds, and what has
        ended the box before."""
        with self._changed:
            wanted = self._wanted = self._taken
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._settled >= wanted or self._end, timeout)
            if self._settled < wanted:
                raise self._end or Unavailable(
                    f"the gateway did not answer for {wanted - self._settled} events within {timeout:g} s"
                )

    def end(self, why: Exception) -> None:
        """From now on `put` and `wait` raise `why`, or what ended the box before."""
        with self._changed:
            self._end = self._end or why
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Sleep that the end of the box cuts short, by raising what ended it."""
        with self._changed:
            if self._changed.wait_for(lambda: self._end, seconds):
                assert self._end is not None
                raise self._end

    def _number(self) -> int:
        if self._returned:
            return heappop(self._returned)
        self._next += 1
        return self._next - 1

    def _is_ready(self) -> bool:
        return len(self._waiting) >= self._batch or self._settled < self._wanted or self._end is not None
