"""What an event costs the gateway by the format of its post: unfolded, judged, and made the record that is logged.

One core, in this process, without HTTP and without a log: `python -m tests.bench.bench_formats`. Microseconds of
processor an event, the least of some rounds.
"""

from __future__ import annotations

import random
import time
from typing import Any, Final

from stream.gateway.bodies import inflate
from stream.gateway.verdicts import Door, admit
from tallymark.event import EARLIEST_MS
from tests.bench.phases import number, say
from tests.bench.post_load import EVENTS_PER_POST, events
from tests.bench.report import record
from tests.support.posts import FORMATS, Post, written

POSTS: Final = 200
HOLD_ONE: Final = frozenset({"object", "text", "cloud", "cloud binary"})


def main() -> dict[str, Any]:
    now_ms = time.time_ns() // 1_000_000
    made = events(random.Random(1), now_ms)
    door = Door(10_000, 8_000_000, EARLIEST_MS, now_ms + 60_000, now_ms)
    rounds = number("FORMATS_ROUNDS", 5)
    costs = {}
    for form in FORMATS:
        post = written(made, form)
        inside = 1 if form in HOLD_ONE else EVENTS_PER_POST
        costs[form] = round(min(_seconds(post, door, POSTS * EVENTS_PER_POST // inside // 4) for _ in range(rounds)), 2)
        say(f"{form}: {costs[form]} µs")
    sent = written(made, "array")
    ahead = Post(sent.headers | {"x-sent-at": str(now_ms + 5_000)}, sent.body)
    return {
        "events_per_post": EVENTS_PER_POST,
        "microseconds_an_event": costs,
        "array_of_a_clock_that_is_ahead": round(min(_seconds(ahead, door, POSTS) for _ in range(rounds)), 2),
    }


def _seconds(post: Post, door: Door, times: int) -> float:
    began = time.process_time()
    taken = sum(
        len(admit(inflate(post.body, "", most=door.most_bytes), post.headers, door).records) for _ in range(times)
    )
    return (time.process_time() - began) / taken * 1e6


if __name__ == "__main__":
    record("formats", main())
