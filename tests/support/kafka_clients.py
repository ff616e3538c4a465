"""kafka-python as a second, independent client of a log on Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

from confluent_kafka import Producer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from stream.log.kafka.access import kafka_access
from stream.log.kafka.admin import create_topic
from tallymark.settings import Settings

Kept = dict[bytes, tuple[int, bytes | None]]  # by key: partition and value


def topic_of(settings: Settings) -> str:
    return kafka_access(settings).topic


def fresh_topic(settings: Settings, *, partitions: int = 4) -> Settings:
    """`settings` with a topic that is empty, on the same brokers."""
    fresh = replace(settings, log=f"{settings.log}-{uuid4().hex[:8]}")
    create_topic(fresh, partitions=partitions)
    return fresh


def kept(settings: Settings) -> Kept:
    """All that the topic holds."""
    access = kafka_access(settings)
    consumer = KafkaConsumer(**access.kafka_python(), auto_offset_reset="earliest")
    places = [TopicPartition(access.topic, each) for each in consumer.partitions_for_topic(access.topic)]
    consumer.assign(places)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(places)
    found: Kept = {}
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=500).values():
            found |= {record.key: (record.partition, record.value) for record in records}
    consumer.close()
    return found


def append(settings: Settings, records: Sequence[tuple[str, bytes]]) -> None:
    access = kafka_access(settings)
    producer = KafkaProducer(**access.kafka_python())
    for key, value in records:
        producer.send(access.topic, value=value, key=key.encode())
    producer.flush()
    producer.close()


def append_foreign(settings: Settings, values: Sequence[bytes | None]) -> None:
    """Records of any value, with a header and a time of the sender's own."""
    access = kafka_access(settings)
    producer = KafkaProducer(**access.kafka_python())
    for value in values:
        producer.send(access.topic, key=b"foreign", value=value, headers=[("kind", b"foreign")], timestamp_ms=1)
    producer.flush()
    producer.close()


def append_at(settings: Settings, records: Sequence[tuple[int, int, bytes]]) -> None:
    """Records of (partition, time, value), where the brokers' clocks say that it is that time, in epoch ms."""
    access = kafka_access(settings)
    admin = KafkaAdminClient(**access.kafka_python())

    def let_it_be_time_of(whose: str) -> None:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, access.topic, {"message.timestamp.type": whose})])

    let_it_be_time_of("CreateTime")
    producer = KafkaProducer(**access.kafka_python())
    for partition, at, value in records:
        producer.send(access.topic, partition=partition, key=b"any", value=value, timestamp_ms=at)
    producer.flush()
    producer.close()
    let_it_be_time_of("LogAppendTime")
    admin.close()


@contextmanager
def transaction(settings: Settings, values: Sequence[bytes], *, partition: int = 0) -> Iterator[Producer]:
    """Values that were sent in a transaction of another producer, which is open while inside: commit or abort it."""
    access = kafka_access(settings)
    producer = Producer(access.librdkafka() | {"transactional.id": f"other-{uuid4()}"})
    producer.init_transactions()
    producer.begin_transaction()
    for value in values:
        producer.produce(access.topic, value, key=b"other", partition=partition)
    producer.flush()
    yield producer
