"""Appending to Kafka: records are handed over at once, and whether all of them are durable is asked for.

librdkafka reports every record of an append on its own, and confluent-kafka takes the interpreter's lock for each
report, even where nobody is told. Beside a thread that is busy, that was 8,000 records a second. So who runs an event
loop hands over and looks from the loop's own thread, where the lock is free: 116,000 in the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from stream.log.kafka.access import KafkaAccess
from stream.log.kafka.client import ANSWER_WITHIN_S, configured, unavailable

__all__ = ["Delivery"]

_DURABLE: Final = {
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",  # as Java's producers: whoever appends a copy of an event meets it
    "delivery.report.only.error": True,
    "message.timeout.ms": round(ANSWER_WITHIN_S * 1000),
    "linger.ms": 0.5,  # posts that came together are appended together already
    "queue.buffering.max.messages": 0,  # as many as were handed over: who appends bounds that
}


class Delivery:
    """A producer that carries one append at a time. After an error, take another: what has become of it is unknown."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._failure: KafkaError | None = None
        self._transport = ""
        self._producer = Producer(configured(access, {**_DURABLE, "error_cb": self._note_transport}))

    def begin(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Hand (key, value) records over; returns before they are durable."""
        batch: list[dict[str, Any]] = [{"key": key, "value": value} for key, value in records]
        taken = self._producer.produce_batch(self._access.topic, batch, on_delivery=self._note)
        if taken < len(batch):
            self._failure = next(message["_error"] for message in batch if "_error" in message)

    def landed(self, *, wait_s: float) -> bool:
        """Whether all records are durable. Waits until something is known, and no longer than `wait_s`.

        Raises LogUnavailable once none is on its way any more and one is not durable.
        """
        self._producer.poll(wait_s)
        if len(self._producer):
            return False
        if self._failure is not None:
            why = f"records were not taken: {self._failure.str()}"
            raise unavailable(self._access, f"{why} ({self._transport})" if self._transport else why)
        return True

    def _note(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error

    def _note_transport(self, error: KafkaError) -> None:
        self._transport = error.str()
