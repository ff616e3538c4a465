"""Records into a topic as fast as librdkafka takes them from one process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from confluent_kafka import Producer

from stream.log.kafka.access import kafka_access
from tallymark.settings import Settings
from tests.bench.phases import say
from tests.bench.records import numbered, templates

__all__ = ["BATCH", "Topic", "fill"]

BATCH: Final = 10_000  # records in a call of produce_batch
_LATEST_MS: Final = 3000  # how far events come out of order
_BEHIND: Final = 4001  # records, which a copy comes after the first; odd, so that no copy's first is a copy itself


class Topic:
    """The topic of `settings.log`, for records that are ready. All are acknowledged when `flush` returns."""

    def __init__(self, settings: Settings) -> None:
        access = kafka_access(settings)
        self._topic = access.topic
        self._producer = Producer(
            {**access.librdkafka(), "acks": "all", "enable.idempotence": True, "linger.ms": 5}
            | {"queue.buffering.max.messages": 0, "partitioner": "murmur2_random"}
        )

    def batch(self, messages: Sequence[Mapping[str, object]]) -> None:
        """By produce_batch; each message has a `key` and a `value`."""
        taken = self._producer.produce_batch(self._topic, messages)
        assert taken == len(messages), f"{len(messages) - taken} records were not taken"
        self._wait()

    def each(self, records: Iterable[tuple[str, bytes]]) -> None:
        """By produce, one (key, value) after the other."""
        for key, value in records:
            self._producer.produce(self._topic, value, key)
        self._wait()

    def flush(self) -> None:
        assert self._producer.flush(60) == 0, "not all records were acknowledged within a minute"

    def _wait(self) -> None:
        self._producer.poll(0)
        while len(self._producer) > 20 * BATCH:
            self._producer.poll(0.01)


def fill(settings: Settings, events: int, *, traffic: str, per_second: int, copies: int = 0) -> int:
    """`events` records, as if `per_second` had come in until now, up to three seconds out of order; returns how many
    events they are. `copies`: one in so many is a copy of a record some thousand before it."""
    say(f"{events:,} records of {traffic} traffic go into {settings.log}")
    began_ms = time.time_ns() // 1_000_000 - events * 1000 // per_second
    numbers = [_number(n, copies) for n in range(events)]
    records = numbered(templates(traffic), numbers, lambda n: began_ms + n * 1000 // per_second - n * 7919 % _LATEST_MS)
    topic = Topic(settings)
    began = time.perf_counter()
    while chunk := [{"key": key, "value": value} for key, value in islice(records, BATCH)]:
        topic.batch(chunk)
    topic.flush()
    say(f"… {events / (time.perf_counter() - began):,.0f} a second")
    return len(set(numbers)) if copies else events


def _number(n: int, copies: int) -> int:
    is_copy = copies and n % copies == copies - 1 and n > _BEHIND
    return n - _BEHIND if is_copy else n
