"""Many posts, one append: whatever waits when the log is free goes to it together, at the price of one fsync."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final

from stream.log import AppendsOnLoop, EventLog

__all__ = ["GroupCommit"]

Records = list[tuple[str, bytes]]


class _Group:
    """The posts that one append makes durable together; all of them wait for the same `done`. `of`: how many of its
    records are whose."""

    def __init__(self) -> None:
        self.records: Records = []
        self.size = 0
        self.of: Tally[str | None] = Tally()
        self.since: Final = perf_counter()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class GroupCommit:
    """Appends to `log` from one thread of its own, unless the log has threads itself: the event loop never waits.

    `appended` is called on the loop after each append that succeeded, with its records and seconds. All methods are
    called on the loop.
    """

    def __init__(self, log: EventLog, *, most: int, most_bytes: int, appended: Callable[[int, float], None]) -> None:
        self._log: Final = log
        self._most: Final = most
        self._most_bytes: Final = most_bytes
        self._appended = appended
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")
        self._open: _Group | None = None
        self._oldest: _Group | None = None  # that waits, or that the log is writing
        self._writing: asyncio.Task[None] | None = None
        self._of: Tally[str | None] = Tally()  # of what waits, how many records are whose
        self.pending = 0  # records that wait for the log, those that it is writing among them
        self.pending_bytes = 0

    @property
    def waited_s(self) -> float:
        """For how long the oldest of what waits has waited; 0 when nothing does."""
        return perf_counter() - self._oldest.since if self._oldest is not None else 0.0

    def has_room(self, records: Records, *, of: str | None = None) -> bool:
        """May these wait too? Into an empty buffer a post of any size fits.

        Who has a name may fill as much as is still free beside it: alone half of the buffer, of n that want all of it
        each 1/(n + 1), so that there is always room for one who comes. (10,000 and one that fills it: at 5,000 as many
        are free. A second one: both end at 3,333.)
        """
        if self.pending == 0:
            return True
        free = self._most - self.pending
        if self.pending_bytes + _size(records) > self._most_bytes:
            return False
        return len(records) <= (free if of is None else free - self._of[of])

    async def append(self, records: Records, *, of: str | None = None) -> None:
        """Returns when `records` are durable; raises what the log raised. `of`: whose they are.

        Who stops waiting, because its client has gone, takes nothing back: the records are appended all the same.
        """
        group = self._open = self._open or _Group()
        self._oldest = self._oldest or group
        size = _size(records)
        group.records.extend(records)
        group.size += size
        group.of[of] += len(records)
        self._of[of] += len(records)
        self.pending += len(records)
        self.pending_bytes += size
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await asyncio.shield(group.done)

    async def close(self) -> None:
        """Returns when nothing waits any more."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()

    async def _write(self) -> None:
        while group := self._open:
            self._open, self._oldest = None, group
            began = perf_counter()
            append = asyncio.ensure_future(self._append(group.records))
            await asyncio.wait((append,))
            self.pending -= len(group.records)
            self.pending_bytes -= group.size
            self._of -= group.of  # and forgets who has none left
            if (error := append.exception()) is not None:
                group.done.set_exception(error)
                group.done.exception()  # seen, even when every client of the group has gone
            else:
                self._appended(len(group.records), perf_counter() - began)
                group.done.set_result(None)
        self._writing = self._oldest = None

    def _append(self, records: Records) -> Awaitable[None]:
        if isinstance(self._log, AppendsOnLoop):
            return self._log.append_on_loop(records)
        return asyncio.get_running_loop().run_in_executor(self._thread, self._log.append, records)


def _size(records: Records) -> int:
    return sum([len(record) for _, record in records])
