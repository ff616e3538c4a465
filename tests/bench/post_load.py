"""A light load: connections that post ready bodies of 200 events, as soon as the last answer is in or by the clock.

Run as a process of its own by the benchmarks: `python -m tests.bench.post_load PORT CONNECTIONS SECONDS POSTS_PER_S
[TRAFFIC]` (0: as fast as answers come; see `records`); prints the events that were accepted, the seconds that it took,
and each post's milliseconds, as JSON. By the clock, a late post counts from when it was due.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from itertools import count

import uvloop

from tallymark.client.sending.ids import uuid7
from tallymark.event import Event, encode
from tests.bench.records import TRAFFIC

EVENTS_PER_POST = 200
BODIES = 200


def events(chance: random.Random, now_ms: int, *, traffic: str = "pareto") -> list[Event]:
    """As a producer makes them: every field is set."""
    return [
        Event(
            event_id=uuid7(now_ms, chance.getrandbits(74)),
            type=chance.choice(("view", "like", "share", "watched_time")),
            video_id=f"video-{TRAFFIC[traffic](chance)}",
            occurred_at=now_ms - chance.randrange(60_000),
            value=chance.randrange(1, 600_000),
            user_id=f"user-{chance.randrange(100_000)}",
            producer_id="player-eu-1",
            seq=chance.randrange(10**6),
        )
        for _ in range(EVENTS_PER_POST)
    ]


def request(chance: random.Random, now_ms: int, traffic: str) -> bytes:
    body = b"[" + b",".join(map(encode, events(chance, now_ms, traffic=traffic))) + b"]"
    head = f"POST /v1/events HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def _connection(
    port: int, requests: list[bytes], due: Iterator[float], turns: count[int], until: float, taken: list[float]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for began in due:
        if began >= until:
            break
        if (early := began - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        writer.write(requests[next(turns) % BODIES])
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 202 "):
            raise RuntimeError(f"not accepted: {head.decode()}")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        taken.append((time.perf_counter() - began) * 1000)
    writer.close()


def _at_once() -> Iterator[float]:
    while True:
        yield time.perf_counter()


def _by_the_clock(began: float, posts_per_s: float) -> Iterator[float]:
    return (began + number / posts_per_s for number in count())


async def load(port: int, connections: int, seconds: float, posts_per_s: float, traffic: str) -> dict[str, object]:
    chance = random.Random(7)
    now_ms = time.time_ns() // 1_000_000
    requests = [request(chance, now_ms, traffic) for _ in range(BODIES)]
    taken: list[float] = []
    turns = count()
    began = time.perf_counter()
    due = _by_the_clock(began, posts_per_s) if posts_per_s else _at_once()
    posts = (_connection(port, requests, due, turns, began + seconds, taken) for _ in range(connections))
    await asyncio.gather(*posts)
    return {"events": len(taken) * EVENTS_PER_POST, "seconds": time.perf_counter() - began, "post_ms": taken}


if __name__ == "__main__":
    port, connections, seconds, posts_per_s, *named = sys.argv[1:]
    traffic = named[0] if named else "pareto"
    print(json.dumps(uvloop.run(load(int(port), int(connections), float(seconds), float(posts_per_s), traffic))))
