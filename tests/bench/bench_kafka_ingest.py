"""Events over HTTP into Kafka, acknowledged by the broker, beside what a bare client of librdkafka brings into it.

Both in one run, with the same record bytes, into the same broker; broker, gateway and load share the machine. A gateway
keeps one core busy, and librdkafka two, so two gateways are measured as well:
`python -m tests.bench.bench_kafka_ingest`, on servers of its own, or on those that TALLYMARK_LOG names.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from typing import Any, Final

import psutil

from tallymark.event import encode
from tallymark.settings import Address, Settings
from tests.bench.gateway_load import Load, Spread, gateway, load, shown
from tests.bench.phases import deadline, number, say
from tests.bench.post_load import EVENTS_PER_POST, events
from tests.bench.report import record
from tests.bench.servers import servers
from tests.bench.topic_load import BATCH, Topic
from tests.systems import free_ports

SECONDS: Final = 4.0
CONNECTIONS: Final = (1, 4, 16)


def main() -> dict[str, Any]:
    loads: dict[int, list[Load]] = {connections: [] for connections in CONNECTIONS}
    half: list[Load] = []
    two: list[float] = []
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
                two.append(_two(settings, process))
    over_http = {
        "one": max(median(each.events_per_s for each in rates) for rates in loads.values()),
        "two": median(two),
    }
    return {
        "events_per_post": EVENTS_PER_POST,
        "bytes_per_event": round(sum(len(value) for _, value in records) / len(records)),
        "connections": {str(n): shown(loads[n]) for n in CONNECTIONS},
        "half_load": shown(half),
        "traffic_events_per_s": spread.shown,
        "two_gateways_events_per_s": {"median": round(median(two)), "rounds": [round(rate) for rate in two]},
        "librdkafka_events_per_s": {call: round(median(rates)) for call, rates in bare.items()},
        "gateways_to_librdkafka": {
            gateways: {call: round(rate / median(rates), 2) for call, rates in bare.items()}
            for gateways, rate in over_http.items()
        },
    }


def _two(settings: Settings, process: psutil.Process) -> float:
    """Events a second through this gateway and one beside it, each with half of the connections."""
    beside = replace(settings, gateway=Address(settings.gateway.host, free_ports(1)[0]))
    with gateway(beside) as other, ThreadPoolExecutor(2) as both:
        each = max(CONNECTIONS) // 2
        load(beside, other, each, 1.0)
        loads = both.map(lambda at, of: load(at, of, each, SECONDS), (settings, beside), (process, other))
        return sum(each.events_per_s for each in loads)


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
