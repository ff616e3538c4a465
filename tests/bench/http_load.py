"""A steady stream to the gateway over HTTP, with probes that are asked for at the API.

Run as a process of its own: `python -m tests.bench.http_load RATE SECONDS WARM_UP`; gateway and API are those of the
settings. Events as in `speed_load`, in posts of 200 by the clock. From 90 s before the end of the warm-up on,
every 0.27 s a post is a probe, one event of a video of its own; every other one is late, an event of an hour that is
sealed (`LATE`). From its acknowledgement on it is asked for until it is counted, or pending where it is late, every
50 ms or tenth of the time since, so that what is behind is not kept there by questions. Prints {"sent", "unseen",
"latencies", "late_latencies", "post_ms", "count_ms"} as JSON, of what was sent after WARM_UP: seconds from the
acknowledgement to the end of the first answer that has the probe; milliseconds of a post, from when it was due, and of
a question. An answer that is no success ends it with an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from time import perf_counter, time

import uvloop

from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.bench.open_loop import Pool
from tests.bench.records import numbered, templates

EVENTS_PER_POST = 200
PROBE_EVERY = 0.27  # of no length that triggers have: so probes come at every phase of a micro-batch
LOOK_EVERY = 0.05
LOOK_AGAIN = 0.1  # of the time that has passed
PROBE_BEFORE = 90.0
SEEN_WITHIN = 60.0
LATE = timedelta(hours=3)


class HttpLoad:
    def __init__(self, settings: Settings, *, warm_up: float) -> None:
        self._gateway, self._api = Pool(*settings.gateway), Pool(*settings.api)
        self._made = templates("pareto")
        self._warm_at = perf_counter() + warm_up
        self.sent = self.unseen = 0
        self.latencies: list[float] = []
        self.late_latencies: list[float] = []
        self.post_ms: list[float] = []
        self.count_ms: list[float] = []

    async def post(self, number: int, due: float) -> None:
        now_ms = int(time() * 1000)
        numbers = range(number * EVENTS_PER_POST, (number + 1) * EVENTS_PER_POST)
        records = numbered(self._made, numbers, lambda n: now_ms - n % 3000)
        await self._gateway.post("/v1/events", b"[" + b",".join(record for _, record in records) + b"]")
        self.sent += EVENTS_PER_POST
        if due >= self._warm_at:
            self.post_ms.append((perf_counter() - due) * 1000)

    async def probe(self, number: int, due: float) -> None:
        name, late = f"probe-{number}", bool(number % 2)
        at = time() - late * LATE.total_seconds()
        event = Event(event_id=name, type="view", video_id=name, occurred_at=int(at * 1000))
        await self._gateway.post("/v1/events", encode(event))
        acknowledged = perf_counter()
        question = f"/v1/count?video_id={name}&type=view&start={int(at - 60) * 1000}&end={int(at + 60) * 1000}"
        latencies = self.late_latencies if late else self.latencies
        while perf_counter() - acknowledged < SEEN_WITHIN:
            asked = perf_counter()
            answer = json.loads(await self._api.get(question))
            answered = perf_counter()
            if due >= self._warm_at:
                self.count_ms.append((answered - asked) * 1000)
            if answer["late_pending" if late else "value"]:
                if due >= self._warm_at:
                    latencies.append(answered - acknowledged)
                return
            pause = max(LOOK_EVERY, LOOK_AGAIN * (answered - acknowledged))
            await asyncio.sleep(max(0.0, asked + pause - perf_counter()))
        self.unseen += 1


async def by_the_clock(
    act: Callable[[int, float], Coroutine[None, None, None]], *, every: float, seconds: float
) -> None:
    """Call `act` with its number and when it was due, whether or not those before are done; returns when all are."""
    began = perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds / every)):
            due = began + number * every
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(act(number, due))


async def drive(settings: Settings, *, rate: int, seconds: float, warm_up: float) -> dict[str, object]:
    load = HttpLoad(settings, warm_up=warm_up)

    async def probe() -> None:
        await asyncio.sleep(max(0.0, warm_up - PROBE_BEFORE))
        await by_the_clock(load.probe, every=PROBE_EVERY, seconds=seconds - max(0.0, warm_up - PROBE_BEFORE))

    await asyncio.gather(by_the_clock(load.post, every=EVENTS_PER_POST / rate, seconds=seconds), probe())
    names = ("sent", "unseen", "latencies", "late_latencies", "post_ms", "count_ms")
    return {name: getattr(load, name) for name in names}


if __name__ == "__main__":
    rate, seconds, warm_up = sys.argv[1:]
    settings = Settings.load(os.environ)
    found = uvloop.run(drive(settings, rate=int(rate), seconds=float(seconds), warm_up=float(warm_up)))
    json.dump(found, sys.stdout)
