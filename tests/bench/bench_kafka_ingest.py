"""Events over HTTP into Kafka, acknowledged by the broker, beside what a bare client of librdkafka brings into it.

Both in one run, with the same record bytes, into the same broker; broker, gateway and load share the machine:
`python -m tests.bench.bench_kafka_ingest`. With TALLYMARK_LOG=kafka://host:port/x set, the topics are made on that
broker; otherwise one is started.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

from confluent_kafka import Producer

from infra.cluster import Cluster
from stream.log.kafka_admin import create_topic
from tallymark.event import encode
from tallymark.settings import Settings
from tests.bench.gateway_load import Load, gateway, load, shown
from tests.bench.post_load import EVENTS_PER_POST, events
from tests.bench.report import record
from tests.systems import settings_in

ROUNDS: Final = 3
SECONDS: Final = 4.0
CONNECTIONS: Final = (1, 4, 16)
BATCH: Final = 10_000  # records in a call of produce_batch


def main() -> dict[str, Any]:
    loads: dict[int, list[Load]] = {connections: [] for connections in CONNECTIONS}
    half: list[Load] = []
    bare: dict[str, list[float]] = {"produce": [], "produce_batch": []}
    now_ms = time.time_ns() // 1_000_000
    records = [(event.event_id, encode(event)) for n in range(50) for event in events(random.Random(n), now_ms)]
    with _broker() as brokers, tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder) / "home", log=f"kafka://{brokers}/bench-{uuid4().hex[:8]}")
        create_topic(settings)
        for _ in range(ROUNDS):
            for call, rates in bare.items():
                rates.append(_bare(brokers, settings.log.rpartition("/")[2], records, batch=call == "produce_batch"))
            with gateway(settings) as process:
                load(settings, process, 4, 1.0)  # what is measured is a warm gateway
                for connections in CONNECTIONS:
                    loads[connections].append(load(settings, process, connections, SECONDS))
                full = max(rates[-1].events_per_s for rates in loads.values())
                half.append(load(settings, process, 16, SECONDS, posts_per_s=full / 2 / EVENTS_PER_POST))
    over_http = max(median(each.events_per_s for each in rates) for rates in loads.values())
    return {
        "events_per_post": EVENTS_PER_POST,
        "bytes_per_event": round(sum(len(value) for _, value in records) / len(records)),
        "connections": {str(n): shown(loads[n]) for n in CONNECTIONS},
        "half_load": shown(half),
        "librdkafka_events_per_s": {call: round(median(rates)) for call, rates in bare.items()},
        "gateway_to_librdkafka": {call: round(over_http / median(rates), 2) for call, rates in bare.items()},
    }


@contextmanager
def _broker() -> Iterator[str]:
    """host:port of the broker that the environment names, else of one that runs while inside."""
    if (log := os.environ.get("TALLYMARK_LOG", "")).startswith("kafka://"):
        yield Settings(log=log).log.removeprefix("kafka://").partition("/")[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            cluster.up()
            yield cluster.environment()["TALLYMARK_LOG"].removeprefix("kafka://").partition("/")[0]
        finally:
            cluster.down()


def _bare(brokers: str, topic: str, records: list[tuple[str, bytes]], *, batch: bool) -> float:
    """Events a second from a process that does nothing else, all acknowledged; the records are ready."""
    producer = Producer(
        {"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True, "linger.ms": 5}
        | {"queue.buffering.max.messages": 0}
    )
    messages = [{"key": key, "value": value} for key, value in records]
    sent = 0
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        if batch:
            for first in range(0, len(messages), BATCH):
                sent += producer.produce_batch(topic, messages[first : first + BATCH])
                producer.poll(0)
        else:
            for key, value in records:
                producer.produce(topic, value, key)
            producer.poll(0)
            sent += len(records)
        while len(producer) > 20 * BATCH:
            producer.poll(0.01)
    assert producer.flush(30) == 0
    return sent / (time.perf_counter() - began)


if __name__ == "__main__":
    record("kafka_ingest", main())
