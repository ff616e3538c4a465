"""The brokers' clock: a record that is appended to a topic of its own comes back with the instant of its append.

ADR 32 says why.
"""

from __future__ import annotations

import threading
from typing import Final

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message, Producer

from stream.log.kafka.access import KafkaAccess
from stream.log.kafka.client import ANSWER_WITHIN_S, answering, configured, unavailable
from tallymark.errors import IncompatibleStore

__all__ = ["BrokerClock"]

_WITHIN_S: Final = ANSWER_WITHIN_S / 2


class BrokerClock:
    """May be shared by threads. Connects when it is first asked."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._asking = threading.Lock()
        self._producer: Producer | None = None
        self._partitions: list[int] = []

    def now_ms(self) -> int:
        """An instant, in epoch ms, that no broker's clock has yet been behind: the earliest of theirs, asked now.

        Raises LogUnavailable, and IncompatibleStore when the clock's topic keeps the senders' times.
        """
        with self._asking, answering(self._access):
            producer = self._connected()
            told: list[tuple[KafkaError | None, tuple[int, int]]] = []

            def note(error: KafkaError | None, message: Message) -> None:
                told.append((error, message.timestamp()))

            for partition in self._partitions:
                producer.produce(self._access.clock_topic, b"", partition=partition, on_delivery=note)
            producer.flush(_WITHIN_S * 2)
        for error, _ in told:
            if error is not None:
                raise unavailable(self._access, f"its clock does not answer: {error.str()}")
        if len(told) < len(self._partitions):
            raise unavailable(self._access, "its clock does not answer")
        if any(kind != TIMESTAMP_LOG_APPEND_TIME for _, (kind, _) in told):
            raise IncompatibleStore(
                f"the topic {self._access.clock_topic} needs message.timestamp.type=LogAppendTime, so that brokers "
                "tell their own time; set it, or delete the topic and run `tallymark infra up`"
            )
        return min(at for _, (_, at) in told)

    def _connected(self) -> Producer:
        if self._producer is None:
            wanted = {"acks": "all", "linger.ms": 0, "message.timeout.ms": round(_WITHIN_S * 1000)}
            producer = Producer(configured(self._access, wanted))
            topic = producer.list_topics(self._access.clock_topic, _WITHIN_S).topics[self._access.clock_topic]
            if topic.error is not None:
                raise unavailable(self._access, f"{self._access.clock_topic}: {topic.error.str()}")
            self._partitions, self._producer = sorted(topic.partitions), producer
        return self._producer
