"""The load: posts, questions and probes by the clock, whether or not those before are answered (an open loop).

Run as a process of its own: `python -m tests.load.generator EVENTS_PER_S QUESTIONS_PER_S SECONDS`; gateway and API are
those of the settings. Every duration counts from when its request was due, not from when it could be sent: a server
that stands still for a second is charged with every request of that second (no coordinated omission).

Each event is new. One in a hundred is late: it occurred three hours ago, so that there is always something to recount.
Prints a `Told` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from time import perf_counter, time
from typing import Final
from urllib.parse import quote

import uvloop

from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.bench.http_load import by_the_clock
from tests.bench.open_loop import Pool
from tests.bench.records import VARIETY, templates

__all__ = ["EVENTS_PER_POST", "Told"]

EVENTS_PER_POST: Final = 200
LATE_EVERY: Final = 100
LATE_MS: Final = 3 * 3_600_000
PROBE_EVERY: Final = 0.53  # of no length that triggers have: so probes come at every phase of a micro-batch
LOOK_EVERY: Final = 0.05
LOOK_AGAIN: Final = 0.1  # of the time that has passed
GIVE_UP: Final = 10.0  # seconds that an answer may take
SEEN_WITHIN: Final = 60.0
MOST_WAITING: Final = 1000  # requests; more are not sent, and count as unanswered
BODIES: Final = 100
NO_ANSWER: Final = 0

_PATHS: Final = 8 * ("count?last=1h",) + ("stats?last=1h", "series?last=1h&grain=minute")
_NOW, _THEN, _NUMBER = b"1111111111111", b"2222222222222", b"0190a000-7000-7000-8000-000000000"


@dataclass
class Told:
    """What became of each request. Times in seconds since `began_at` (epoch), durations in milliseconds."""

    began_at: float = 0.0
    posts: list[tuple[float, int, float, float]] = field(default_factory=list)  # due, status, duration, sent too late
    questions: list[tuple[float, int, float, int]] = field(default_factory=list)  # due, status, duration, freshness_ms
    probes: list[tuple[float, float]] = field(default_factory=list)  # when acknowledged, until it was in an answer
    unseen: int = 0  # probes that were in no answer within a minute


class Generator:
    def __init__(self, settings: Settings) -> None:
        self._gateway, self._api = Pool(*settings.gateway), Pool(*settings.api)
        self._patterns = _patterns()
        self._began = perf_counter()
        self._waiting = 0
        self.told = Told(began_at=time())
        self._run = int(self.told.began_at)

    async def post(self, number: int, due: float) -> None:
        now_ms = int(time() * 1000)
        body = (
            self._patterns[number % BODIES]
            .replace(_NUMBER, b"%08x-7000-7000-8000-%09d" % (self._run, number))
            .replace(_NOW, b"%d" % now_ms)
            .replace(_THEN, b"%d" % (now_ms - LATE_MS))
        )
        late_ms = (perf_counter() - due) * 1000
        status, _ = await self._asked(self._gateway, "POST /v1/events", body)
        self.told.posts.append((due - self._began, status, (perf_counter() - due) * 1000, late_ms))

    async def ask(self, number: int, due: float) -> None:
        path = _PATHS[number % len(_PATHS)]
        status, answer = await self._asked(self._api, f"GET /v1/{path}&type=view&video_id=v{number % 997}")
        fresh_ms = json.loads(answer)["freshness_ms"] if status == 200 else -1
        self.told.questions.append((due - self._began, status, (perf_counter() - due) * 1000, fresh_ms or -1))

    async def probe(self, number: int, due: float) -> None:
        name = f"probe-{self._run}-{number}"
        body = encode(Event(event_id=name, type="view", video_id=name, occurred_at=int(time() * 1000)))
        status, _ = await self._asked(self._gateway, "POST /v1/events", body)
        if status != 202:
            return  # the posts tell
        acknowledged = perf_counter()
        while perf_counter() - acknowledged < SEEN_WITHIN:
            asked = perf_counter()
            question = f"GET /v1/count?video_id={quote(name)}&type=view&last=10m"
            status, answer = await self._asked(self._api, question)
            answered = perf_counter()
            if status == 200 and json.loads(answer)["value"]:
                self.told.probes.append((acknowledged - self._began, (answered - acknowledged) * 1000))
                return
            pause = max(LOOK_EVERY, LOOK_AGAIN * (answered - acknowledged))
            await asyncio.sleep(max(0.0, asked + pause - perf_counter()))
        self.told.unseen += 1

    async def _asked(self, pool: Pool, what: str, body: bytes = b"") -> tuple[int, bytes]:
        if self._waiting >= MOST_WAITING:
            return NO_ANSWER, b""
        self._waiting += 1
        try:
            return await asyncio.wait_for(pool.exchange(what, body), GIVE_UP)
        except (OSError, EOFError, TimeoutError):
            return NO_ANSWER, b""
        finally:
            self._waiting -= 1


def _patterns() -> list[bytes]:
    """Bodies of posts that lack their number and the time: a post costs three replacements."""
    made = templates("pareto")
    return [
        b"["
        + b",".join(
            made[(body * EVENTS_PER_POST + each) % VARIETY] % (each, int(_NOW if each % LATE_EVERY else _THEN))
            for each in range(EVENTS_PER_POST)
        )
        + b"]"
        for body in range(BODIES)
    ]


async def drive(settings: Settings, *, events_per_s: float, questions_per_s: float, seconds: float) -> Told:
    generator = Generator(settings)
    await asyncio.gather(
        by_the_clock(generator.post, every=EVENTS_PER_POST / events_per_s, seconds=seconds),
        by_the_clock(generator.ask, every=1 / questions_per_s, seconds=seconds),
        by_the_clock(generator.probe, every=PROBE_EVERY, seconds=seconds),
    )
    return generator.told


if __name__ == "__main__":
    events_per_s, questions_per_s, seconds = map(float, sys.argv[1:])
    told = drive(Settings.load(os.environ), events_per_s=events_per_s, questions_per_s=questions_per_s, seconds=seconds)
    json.dump(asdict(uvloop.run(told)), sys.stdout)
