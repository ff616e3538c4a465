"""Reading a part of a topic: from given offsets to given offsets, by partition, without a consumer group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from stream.log import Positions, Record
from stream.log.kafka.access import KafkaAccess
from stream.log.kafka.client import ANSWER_WITHIN_S, answering, configured, unavailable

__all__ = ["KafkaReader"]

_CHUNK: Final = 20_000  # messages
_LOOK_S: Final = 0.2
_READING: Final = {
    "group.id": "tallymark",  # a name that librdkafka asks for; no group is joined and no offset committed
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # where retention has removed the start, what is left of the range
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 10,  # what is read is there already; a fetch that waits would hold up the next range
    "fetch.queue.backoff.ms": 5,
    "fetch.error.backoff.ms": 50,
    "queued.max.messages.kbytes": 32_768,
}


class KafkaReader:
    """A consumer that reads one range at a time."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._consumer = Consumer(configured(access, _READING))

    def read(self, start: Positions, end: Positions) -> Iterator[Record]:
        """Raises LogUnavailable when a partition ends before `end`, which was there once."""
        stops = {partition: stop for partition, stop in end.items() if start.get(partition, 0) < stop}
        begin = [TopicPartition(self._access.topic, each, start.get(each, 0)) for each in stops]
        with answering(self._access):
            self._consumer.assign(begin)
            try:
                yield from self._records({each.partition: each.offset for each in begin}, stops)
            finally:
                self._consumer.unassign()

    def close(self) -> None:
        self._consumer.close()

    def _records(self, at: dict[int, int], stops: dict[int, int]) -> Iterator[Record]:
        """`at`: where each partition is read next; those that are read to the end leave it."""
        heard = time.monotonic()
        while at:
            # a call returns when it has as many as it was asked for, so it is asked for no more than there can be
            left = sum(stops[partition] - offset for partition, offset in at.items())
            messages = self._consumer.consume(min(left, _CHUNK), _LOOK_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > ANSWER_WITHIN_S:
                raise unavailable(self._access, f"partitions {sorted(at)} send nothing")
            for message in messages:
                partition = message.partition()
                if partition not in at:
                    continue
                if message.error() is not None:
                    self._check_end(message, stops[partition])
                    del at[partition]
                    continue
                offset = message.offset()
                if offset < stops[partition]:
                    yield Record(partition, offset, message.timestamp()[1], message.value() or b"")
                if offset + 1 < stops[partition]:
                    at[partition] = offset + 1
                else:
                    del at[partition]
                    self._consumer.incremental_unassign([TopicPartition(self._access.topic, partition)])

    def _check_end(self, message: Message, stop: int) -> None:
        """Behind the last record there may be none up to `stop`: markers of transactions take offsets as well."""
        error = message.error()
        if error.code() != KafkaError._PARTITION_EOF:
            raise unavailable(self._access, f"partition {message.partition()}: {error.str()}")
        if message.offset() < stop:
            raise unavailable(
                self._access, f"partition {message.partition()} ends at {message.offset()}, where it had reached {stop}"
            )
