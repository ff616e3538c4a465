"""The writer of the gateway: many posts in one append, nobody told before it is durable, nothing taken back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from stream.gateway.group_commit import GroupCommit
from stream.log.sqlite.log import PARTITION, SqliteLog
from tallymark.errors import LogUnavailable


class Gated(SqliteLog):
    """A log that takes appends only while `open` is set, and fails them with `error`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.open = threading.Event()
        self.error: Exception | None = None
        self.appends: list[int] = []

    def append(self, records: Sequence[tuple[str, bytes]]) -> None:
        assert self.open.wait(10)
        if self.error is not None:
            raise self.error
        super().append(records)
        self.appends.append(len(records))

    def values(self) -> list[bytes]:
        return [record.value for record in self.read({}, {PARTITION: 10**9})]


def record(value: str) -> tuple[str, bytes]:
    return value, value.encode()


def records(count: int) -> list[tuple[str, bytes]]:
    """Of ten bytes each."""
    return [record(f"{number:010d}") for number in range(count)]


def in_a_loop(
    log: Gated, act: Callable[[GroupCommit], Awaitable[None]], *, most: int = 100, most_bytes: int = 10**9
) -> list[int]:
    """Run `act` on a writer of `log`, close it, and return the sizes of the appends it reported."""
    reported: list[int] = []

    async def run() -> None:
        writer = GroupCommit(
            log, most=most, most_bytes=most_bytes, appended=lambda records, _: reported.append(records)
        )
        try:
            await act(writer)
        finally:
            log.open.set()
            await writer.close()
        assert writer.pending == 0

    asyncio.run(asyncio.wait_for(run(), 30))
    return reported


class GatedOnLoop(Gated):
    """As one with threads of its own."""

    async def append_on_loop(self, records: Sequence[tuple[str, bytes]]) -> None:
        await asyncio.to_thread(self.append, records)


@pytest.fixture(params=[Gated, GatedOnLoop])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Gated:
    opened: Gated = request.param(tmp_path / "log.sqlite")
    return opened


async def posted(writer: GroupCommit, *values: str) -> asyncio.Task[None]:
    """A post of these records, which has reached the writer."""
    task = asyncio.create_task(writer.append([record(value) for value in values]))
    await asyncio.sleep(0)
    return task


def test_what_waits_while_the_log_is_busy_goes_to_it_in_one_append(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        posts = [await posted(writer, f"{n}a", f"{n}b") for n in range(10)]
        assert writer.pending == 20
        assert not any(post.done() for post in posts)
        log.open.set()
        await asyncio.gather(*posts)

    assert in_a_loop(log, act) == log.appends == [2, 18]
    assert log.values() == [f"{n}{letter}".encode() for n in range(10) for letter in "ab"]


def test_nobody_is_told_before_it_is_durable(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        log.open.set()
        for n in range(20):
            await writer.append([record(str(n))])
            assert log.values()[-1] == str(n).encode()

    in_a_loop(log, act)


def test_all_posts_of_a_group_learn_that_the_log_is_down_and_the_next_ones_do_not(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        first = await posted(writer, "a")
        group = [await posted(writer, "b"), await posted(writer, "c")]
        log.error = LogUnavailable("the disk is full")
        log.open.set()
        outcomes = await asyncio.gather(first, *group, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * 3
        log.error = None
        await writer.append([record("d")])

    assert in_a_loop(log, act) == [1]
    assert log.values() == [b"d"]


def test_an_error_that_nobody_foresaw_is_told_too(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        log.error = RuntimeError("a mistake")
        log.open.set()
        with pytest.raises(RuntimeError, match="a mistake"):
            await writer.append([record("a")])

    in_a_loop(log, act)


def test_a_client_that_goes_takes_nothing_back_and_holds_nobody_up(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        gone = [await posted(writer, "a"), await posted(writer, "b")]
        stays = await posted(writer, "c")
        for post in gone:
            post.cancel()
        log.open.set()
        await stays

    in_a_loop(log, act)
    assert log.values() == [b"a", b"b", b"c"]


def test_the_buffer_has_room_until_it_is_full_and_always_when_it_is_empty(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        assert writer.has_room(records(10**5))
        first = await posted(writer, "a", "b", "c")
        assert writer.has_room(records(1))
        assert not writer.has_room(records(2))
        log.open.set()
        await first
        assert writer.has_room(records(10**5))

    in_a_loop(log, act, most=4)


def test_closing_finishes_what_waits(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        await posted(writer, "a")
        await posted(writer, "b")

    assert in_a_loop(log, act) == [1, 1]
    assert log.values() == [b"a", b"b"]


def test_the_loop_runs_on_while_the_log_is_busy(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        post = await posted(writer, "a")
        for _ in range(100):
            await asyncio.sleep(0)
        assert not post.done()
        log.open.set()
        await post

    in_a_loop(log, act)


def test_bytes_are_bounded_as_events_are(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        first = asyncio.create_task(writer.append(records(3)))
        await asyncio.sleep(0)
        assert writer.pending_bytes == 30
        assert writer.has_room(records(2))
        assert not writer.has_room(records(3))
        log.open.set()
        await first
        assert writer.pending_bytes == 0
        assert writer.has_room(records(10))

    in_a_loop(log, act, most_bytes=50)


def test_one_who_fills_the_buffer_leaves_room_for_another(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        waiting: list[asyncio.Task[None]] = []

        async def fill(name: str) -> int:
            taken = 0
            while writer.has_room(records(10), of=name):
                waiting.append(asyncio.create_task(writer.append(records(10), of=name)))
                await asyncio.sleep(0)
                taken += 10
            return taken

        assert await fill("greedy") == 500
        assert await fill("second") == 250
        assert await fill("third") > 0
        assert await fill("greedy") == 0
        assert writer.has_room(records(1), of="who comes")
        log.open.set()
        await asyncio.gather(*waiting)
        log.open.clear()
        assert await fill("greedy") == 500  # what is done is forgotten

    in_a_loop(log, act, most=1000)


def test_it_knows_for_how_long_the_oldest_has_waited(log: Gated) -> None:
    async def act(writer: GroupCommit) -> None:
        assert writer.waited_s == 0.0
        first = await posted(writer, "a")
        await asyncio.sleep(0.05)
        second = await posted(writer, "b")
        assert writer.waited_s >= 0.05
        log.open.set()
        await asyncio.gather(first, second)
        assert writer.waited_s == 0.0

    in_a_loop(log, act)
