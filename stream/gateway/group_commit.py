"""Many posts, one append: whatever waits when the log is free goes to it together, at the price of one fsync."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final

from stream.log import AppendsOnLoop, EventLog

__all__ = ["GroupCommit"]


class _Group:
    """The posts that one append makes durable together; all of them wait for the same `done`."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes]] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class GroupCommit:
    """Appends to `log` from one thread of its own, unless the log has threads itself: the event loop never waits.

    `appended` is called on the loop after each append that succeeded, with its records and seconds. All methods are
    called on the loop.
    """

    def __init__(self, log: EventLog, *, most: int, appended: Callable[[int, float], None]) -> None:
        self._log: Final = log
        self._most: Final = most
        self._appended = appended
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="append")
        self._open: _Group | None = None
        self._writing: asyncio.Task[None] | None = None
        self.pending = 0  # records that wait for the log, those that it is writing among them

    def has_room(self, records: int) -> bool:
        """May that many more wait? Into an empty buffer a post of any size fits."""
        return self.pending == 0 or self.pending + records <= self._most

    async def append(self, records: list[tuple[str, bytes]]) -> None:
        """Returns when `records` are durable; raises what the log raised.

        Who stops waiting, because its client has gone, takes nothing back: the records are appended all the same.
        """
        group = self._open = self._open or _Group()
        group.records.extend(records)
        self.pending += len(records)
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
            self._open = None
            began = perf_counter()
            append = asyncio.ensure_future(self._append(group.records))
            await asyncio.wait((append,))
            self.pending -= len(group.records)
            if (error := append.exception()) is not None:
                group.done.set_exception(error)
                group.done.exception()  # seen, even when every client of the group has gone
            else:
                self._appended(len(group.records), perf_counter() - began)
                group.done.set_result(None)
        self._writing = None

    def _append(self, records: list[tuple[str, bytes]]) -> Awaitable[None]:
        if isinstance(self._log, AppendsOnLoop):
            return self._log.append_on_loop(records)
        return asyncio.get_running_loop().run_in_executor(self._thread, self._log.append, records)
