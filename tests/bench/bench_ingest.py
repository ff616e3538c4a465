"""Events over HTTP into the embedded log, durable, beside what that log takes from a process that only appends.

Gateway, load and log share the machine: `python -m tests.bench.bench_ingest`.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil

from stream.log.sqlite.log import SqliteLog
from stream.replay.nycflights import flights
from stream.replay.sender import Pace, batches, replay
from tallymark.client import Producer
from tallymark.client.courier import Courier
from tallymark.event import encode
from tallymark.settings import Settings
from tests.bench.gateway_load import Load, Spread, gateway, load, shown
from tests.bench.phases import deadline, number, say
from tests.bench.post_load import EVENTS_PER_POST, events
from tests.bench.report import record
from tests.support.systems import settings_in

SECONDS: Final = 4.0
CONNECTIONS: Final = (1, 4, 16)
APPENDS: Final = (1, 5, 20)  # posts that go to the log at once
MADE: Final = 100_000


def main() -> dict[str, Any]:
    loads: dict[int, list[Load]] = {connections: [] for connections in CONNECTIONS}
    appends: dict[int, list[float]] = {posts: [] for posts in APPENDS}
    spread = Spread()
    sample = events(random.Random(1), time.time_ns() // 1_000_000)
    for turn in range(number("INGEST_ROUNDS", 3)):
        say(f"round {turn + 1}")
        for posts in APPENDS:
            appends[posts].append(_append(posts))
        with _gateway() as (settings, process):
            load(settings, process, 4, 1.0)  # what is measured is a warm gateway
            for connections in CONNECTIONS:
                loads[connections].append(load(settings, process, connections, SECONDS))
            spread.round(settings, process, max(CONNECTIONS), SECONDS)
    say("the client, and a replay")
    with _gateway() as (settings, _):
        client, replayed = _client(settings), _replay(settings)
    most = max(CONNECTIONS)
    over_http = median(each.events_per_s for each in loads[most])
    return {
        "events_per_post": EVENTS_PER_POST,
        "bytes_per_event": round(sum(len(encode(event)) for event in sample) / len(sample)),
        "connections": {str(n): shown(loads[n]) for n in CONNECTIONS},
        "log_alone_events_per_s": {f"{n} posts an append": round(median(appends[n])) for n in APPENDS},
        "http_to_log_alone": round(over_http / max(median(rates) for rates in appends.values()), 2),
        "traffic_events_per_s": spread.shown,
        "client_events_per_s": round(client),
        "replay_events_per_s": round(replayed),
    }


@contextmanager
def _gateway() -> Iterator[tuple[Settings, psutil.Process]]:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder) / "home")
        with gateway(settings) as process:
            yield settings, process


def _append(posts: int) -> float:
    """Events a second into a log of its own, without HTTP, decoding or another thread; the records are ready."""
    made = events(random.Random(2), time.time_ns() // 1_000_000)
    records = [(event.event_id, encode(event)) for event in made] * posts
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "log.sqlite")
        appended = 0
        began = time.perf_counter()
        while time.perf_counter() - began < SECONDS / 2:
            log.append(records)
            appended += len(records)
        taken = time.perf_counter() - began
        log.close()
    return appended / taken


def _client(settings: Settings) -> float:
    """Events a second from the calls that make them to the gateway's answers."""
    with Producer(settings.gateway.url, buffer=MADE, buffer_bytes=1000 * MADE) as client:
        began = time.perf_counter()
        for number in range(MADE):
            client.process_event(f"video-{number % 1000}", "watched_time", value=number, user_id=f"user-{number % 777}")
        client.flush()
        return MADE / (time.perf_counter() - began)


def _replay(settings: Settings) -> float:
    """Real flights a second, once they are read."""
    deliveries = flights()
    courier = Courier(settings.gateway.url)
    began = time.perf_counter()
    for _ in replay(batches(deliveries, EVENTS_PER_POST, pace=Pace(0)), courier):
        pass
    courier.close()
    return len(deliveries) / (time.perf_counter() - began)


if __name__ == "__main__":
    with deadline(10):
        record("ingest", main())
