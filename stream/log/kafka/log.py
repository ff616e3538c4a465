"""The event log on Kafka: a topic that is partitioned by event id and keeps the brokers' time of each append."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, TypeVar

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream.log import Horizon, Positions, Record
from stream.log.kafka.access import KafkaAccess, kafka_access
from stream.log.kafka.client import ANSWER_WITHIN_S, answering, unavailable
from stream.log.kafka.clock import BrokerClock
from stream.log.kafka.delivery import Delivery
from stream.log.kafka.reader import KafkaReader
from stream.log.kafka.topic import Topics
from tallymark.errors import LogUnavailable
from tallymark.instants import Millis, first_millis, instant_of
from tallymark.settings import Settings

__all__ = ["KafkaLog", "open_kafka_log"]

_LOOK_S: Final = 0.001
_AGAIN_S: Final = 0.1
# from the moment in which a broker stamps a record to the one in which readers may see it, and what the clocks of
# several brokers differ by
_SETTLED: Final = timedelta(milliseconds=500)


def open_kafka_log(settings: Settings) -> KafkaLog:
    """The log that `settings.log`, a kafka:// URL, names. Raises IncompatibleStore, SettingsError, LogUnavailable."""
    access = kafka_access(settings)
    topics = Topics(access)
    topics.require()
    return KafkaLog(access, topics.admin)


class KafkaLog:
    """An EventLog whose topics exist. Clients connect when they are needed and are used again."""

    def __init__(self, access: KafkaAccess, admin: AdminClient) -> None:
        self._access = access
        self._admin = admin
        self._clock = BrokerClock(access)
        self._deliveries: deque[Delivery] = deque()
        self._readers: deque[KafkaReader] = deque()

    def append(self, records: Sequence[tuple[str, bytes]]) -> None:
        if records:
            with _borrowed(self._deliveries, lambda: Delivery(self._access)) as delivery:
                delivery.begin(records)
                while not delivery.landed(wait_s=1):
                    pass

    async def append_on_loop(self, records: Sequence[tuple[str, bytes]]) -> None:
        """As `append`, without a thread: see `kafka_delivery` for why."""
        if records:
            with _borrowed(self._deliveries, lambda: Delivery(self._access)) as delivery:
                delivery.begin(records)
                while not delivery.landed(wait_s=0):
                    await asyncio.sleep(_LOOK_S)

    def horizon(self) -> Horizon:
        """First the brokers tell the time, then where the topic ends. A record that was stamped `_SETTLED` before that
        time is visible by then, and so lies before the end, if a broker takes no longer than that to finish an append
        and to copy it to its followers, and if the brokers' clocks agree as closely and do not step back.

        A record of a transaction is stamped when it is appended, and read when that is committed, perhaps much later:
        until then it lies before the end, and beyond what anybody has read (ADR 59)."""
        at = self._clock.now_ms()
        end = self._offsets(OffsetSpec.latest(), isolation=IsolationLevel.READ_UNCOMMITTED)
        return Horizon(end, instant_of(Millis(at)) - _SETTLED)

    def end(self) -> dict[int, int]:
        return self._offsets(OffsetSpec.latest())

    def positions_at(self, instant: datetime) -> dict[int, int]:
        since = max(0, first_millis(instant))
        end = self.end()  # looked up first: what is appended meanwhile lies at or behind it
        found = self._offsets(OffsetSpec.for_timestamp(since))
        return {partition: offset if offset >= 0 else end.get(partition, 0) for partition, offset in found.items()}

    def trimmed(self) -> dict[int, Millis]:
        oldest = {partition: at for partition, at in self._offsets(OffsetSpec.earliest()).items() if at > 0}
        end = self.end() if oldest else {}
        there = {partition: at for partition, at in oldest.items() if at < end.get(partition, 0)}
        first = {
            record.partition: record.appended_at
            for record in self.read(there, {partition: at + 1 for partition, at in there.items()})
        }
        return {partition: first.get(partition) or Millis(self._clock.now_ms()) for partition in oldest}

    def read(self, start: Positions, end: Positions) -> Iterator[Record]:
        """What retention has removed of the range is left out."""
        with _borrowed(self._readers, lambda: KafkaReader(self._access)) as reader:
            yield from reader.read(start, end)

    def close(self) -> None:
        self._deliveries.clear()
        while self._readers:
            self._readers.pop().close()

    def _offsets(
        self, spec: OffsetSpec, *, isolation: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[int, int]:
        """By partition, those that are new among them; -1 where no record is as late as `spec` asks for.

        A partition that is new, or whose leader moves, has none to ask for a moment: then it is asked again.
        """
        until = time.monotonic() + ANSWER_WITHIN_S
        while True:
            try:
                return self._ask_offsets(spec, isolation, within_s=max(1.0, until - time.monotonic()))
            except LogUnavailable:
                if time.monotonic() >= until:
                    raise
                time.sleep(_AGAIN_S)

    def _ask_offsets(self, spec: OffsetSpec, isolation: IsolationLevel, *, within_s: float) -> dict[int, int]:
        topic = self._access.topic
        with answering(self._access):
            described = self._admin.list_topics(topic, within_s).topics[topic]
            if described.error is not None:
                raise unavailable(self._access, described.error.str())
            answers = self._admin.list_offsets(
                {TopicPartition(topic, partition): spec for partition in described.partitions},
                isolation_level=isolation,
                request_timeout=within_s,
            )
            return {place.partition: answer.result().offset for place, answer in answers.items()}


_Client = TypeVar("_Client")


@contextmanager
def _borrowed(idle: deque[_Client], make: Callable[[], _Client]) -> Iterator[_Client]:
    """One of the idle clients or a new one, idle again afterwards; after an error it is not used again."""
    try:
        client = idle.pop()
    except IndexError:
        client = make()
    yield client
    idle.append(client)
