"""Events over HTTP into Kafka, acknowledged by the broker, beside what a bare client of librdkafka brings into it.

Both in one run, with the same record bytes, into the same broker; broker, gateway and load share the machine:
`python -m tests.bench.bench_kafka_ingest`, on servers of its own, or on those that TALLYMARK_LOG names.
"""

from __future__ import annotations

import random
import time
from statistics import median
from typing import Any, Final

from tallymark.event import encode
from tallymark.settings import Settings
from tests.bench.gateway_load import Load, Spread, gateway, load, shown
from tests.bench.phases import deadline, number, say
from tests.bench.post_load import EVENTS_PER_POST, events
from tests.bench.report import record
from tests.bench.servers import servers
from tests.bench.topic_load import BATCH, Topic

SECONDS: Final = 4.0
CONNECTIONS: Final = (1, 4, 16, 64)


def main() -> dict[str, Any]:
    loads: dict[int, list[Load]] = {connections: [] for connections in CONNECTIONS}
    half: list[Load] = []
    bare: dict[str, list[float]] = {"produce": [], "produce_batch": []}
    now_ms = time.time_ns() // 1_000_000
    records = [(event.event_id, encode(event)) for n in range(50) for event in events(random.Random(n), now_ms)]
    spread = Spread()
    with deadline(15), servers() as at, at.systems() as (settings,):
        for turn in range(number("INGEST_ROUNDS", 3)):
            say(f"round {turn + 1}")
            for call, rates in bare.items():
                rates.append(_bare(settings, records, batch=call == "produce_batch"))
            with gateway(settings) as process:
                load(settings, process, 4, 1.0)  # what is measured is a warm gateway
                for connections in CONNECTIONS:
                    loads[connections].append(load(settings, process, connections, SECONDS))
                full = max(rates[-1].events_per_s for rates in loads.values())
                half.append(load(settings, process, 16, SECONDS, posts_per_s=full / 2 / EVENTS_PER_POST))
                spread.round(settings, process, max(CONNECTIONS), SECONDS)
    over_http = max(median(each.events_per_s for each in rates) for rates in loads.values())
    return {
        "events_per_post": EVENTS_PER_POST,
        "bytes_per_event": round(sum(len(value) for _, value in records) / len(records)),
        "connections": {str(n): shown(loads[n]) for n in CONNECTIONS},
        "half_load": shown(half),
        "traffic_events_per_s": spread.shown,
        "librdkafka_events_per_s": {call: round(median(rates)) for call, rates in bare.items()},
        "gateway_to_librdkafka": {call: round(over_http / median(rates), 2) for call, rates in bare.items()},
    }


def _bare(settings: Settings, records: list[tuple[str, bytes]], *, batch: bool) -> float:
    """Events a second from a process that does nothing else, all acknowledged; the records are ready."""
    topic = Topic(settings)
    messages = [{"key": key, "value": value} for key, value in records]
    sent = 0
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        if batch:
            for first in range(0, len(messages), BATCH):
                topic.batch(messages[first : first + BATCH])
        else:
            topic.each(records)
        sent += len(records)
    topic.flush()
    return sent / (time.perf_counter() - began)


if __name__ == "__main__":
    record("kafka_ingest", main())
