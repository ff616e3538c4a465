"""A crowd of slow clients beside quick ones, and the end of a gateway under load."""

from __future__ import annotations

import asyncio
import http.client
import random
import resource
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from statistics import quantiles
from time import perf_counter

import pytest

from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.support.gateways import ask, gateway_process, logged, metric, views
from tests.support.systems import eventually

SLOW, QUICK, SECONDS = 1000, 200, 5.0
FLOOR_MS = 5.0  # below, it is the machine that is measured


@contextmanager
def files_for(connections: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = max(soft, connections + 200)
    assert hard == resource.RLIM_INFINITY or hard >= enough, f"ulimit -n {enough} is needed here, {hard} is allowed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def request(events: list[Event]) -> bytes:
    body = b"[" + b",".join(map(encode, events)) + b"]"
    head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def be_slow(settings: Settings, number: int) -> None:
    """Connect, and send nothing, a head, or a body, a byte a second; again when the gateway has had enough."""
    whole = request(views("slow", 50))
    begin = (0, 1, whole.index(b"\r\n\r\n") + 5)[number % 3]
    while True:
        try:
            _, writer = await asyncio.open_connection(*settings.gateway)
            writer.write(whole[:begin])
            for byte in whole[begin:] if number % 3 else ():
                await asyncio.sleep(1)
                writer.write(bytes([byte]))
                await writer.drain()
            await asyncio.sleep(30)
        except OSError:
            await asyncio.sleep(0.1)


@asynccontextmanager
async def slow_crowd(settings: Settings) -> AsyncIterator[None]:
    crowd = [asyncio.create_task(be_slow(settings, number)) for number in range(SLOW)]
    await asyncio.sleep(2)
    try:
        yield
    finally:
        for each in crowd:
            each.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def quick_ms(settings: Settings) -> list[float]:
    """Milliseconds of each post of all quick clients: one a second by each, as many at any moment."""
    taken: list[float] = []

    async def be_quick(number: int) -> None:
        reader, writer = await asyncio.open_connection(*settings.gateway)
        post = request(views("quick", 20))
        due = perf_counter() + number / QUICK
        until = due + SECONDS
        while due < until:
            await asyncio.sleep(max(0.0, due - perf_counter()))
            writer.write(post)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 202 "), head
            await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            taken.append((perf_counter() - due) * 1000)
            due += 1
        writer.close()

    await asyncio.gather(*(be_quick(number) for number in range(QUICK)))
    return taken


@pytest.mark.slow
def test_quick_clients_do_not_notice_a_thousand_slow_ones(settings: Settings) -> None:
    async def turns() -> list[tuple[float, float]]:
        """How often as long median and 95th percentile were beside the crowd; in turns, since others use the machine
        too."""
        found = []
        for _ in range(3):
            alone = await quick_ms(settings)
            async with slow_crowd(settings):
                assert metric(settings, "tallymark_http_connections") > 0.9 * SLOW
                beside = await quick_ms(settings)
            before, after = (quantiles(each, n=20) for each in (alone, beside))
            ratios = [b / max(a, FLOOR_MS) for a, b in zip(before, after, strict=True)]
            found.append((ratios[9], ratios[18]))
        return found

    settings = replace(settings, head_timeout=timedelta(seconds=4))
    with files_for(SLOW + QUICK), gateway_process(settings):
        found = asyncio.run(turns())
        assert metric(settings, 'tallymark_http_connections_closed_total{why="head"}') > 0
    assert min(max(middle, high) for middle, high in found) <= 2, found


def keep_posting(settings: Settings, sent: set[str], acknowledged: set[str], ends: list[str]) -> None:
    """On one connection for as long as it lasts, then on the next; until nobody listens any more."""
    connection = http.client.HTTPConnection(*settings.gateway, timeout=30)
    while True:
        events = views("v", random.randint(1, 50))
        body = b"[" + b",".join(map(encode, events)) + b"]"
        sent |= {event.event_id for event in events}
        try:
            connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
        except ConnectionRefusedError:
            ends.append("refused")
            return
        except (OSError, http.client.HTTPException):
            ends.append("broken")
            connection.close()
            continue
        assert response.status == 202
        acknowledged |= {event.event_id for event in events}
        if response.headers.get("connection") == "close":
            ends.append("closed")


def test_a_gateway_that_is_to_end_says_so_first_and_loses_nothing(settings: Settings) -> None:
    settings = replace(settings, drain=timedelta(seconds=2))
    sent: set[str] = set()
    acknowledged: set[str] = set()
    ends: list[str] = []
    senders = [threading.Thread(target=keep_posting, args=(settings, sent, acknowledged, ends)) for _ in range(8)]
    with gateway_process(settings) as process:
        for each in senders:
            each.start()
        eventually(lambda: len(acknowledged) > 2000, within=30)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: ask(settings, "GET", "/readyz").status == 503, within=2)
        before = len(acknowledged)
        eventually(lambda: ask(settings, "GET", "/healthz").headers["connection"] == "close", within=1)
        eventually(lambda: len(acknowledged) > before, within=2)  # it still takes what comes
        assert process.wait(20) == 0
        for each in senders:
            each.join(30)
    kept = {event.event_id for event in logged(settings)}
    assert acknowledged <= kept <= sent
    assert ends.count("refused") == len(senders)
    assert ends.count("closed") >= len(senders)
    assert ends.count("broken") <= len(senders)  # at most the post that was on its way when it ended
