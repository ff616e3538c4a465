"""What the log on Kafka promises beyond the contract: other clients, topics that change, brokers that are silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient, TopicPartition

from stream.log import open_log
from stream.log.kafka.access import kafka_access
from stream.log.kafka.admin import create_topic
from stream.log.kafka.log import KafkaLog
from tallymark.errors import IncompatibleStore, LogUnavailable
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster
from tests.support.kafka_clients import append, append_foreign, fresh_topic, kept, topic_of
from tests.support.systems import eventually, free_ports

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def on_cluster(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return cluster.settings(tmp_path_factory.mktemp("home"))


@pytest.fixture
def log_settings(on_cluster: Settings) -> Settings:
    return fresh_topic(on_cluster)


@pytest.fixture
def log(log_settings: Settings) -> Iterator[KafkaLog]:
    opened = open_log(log_settings)
    assert isinstance(opened, KafkaLog)
    yield opened
    opened.close()


@pytest.fixture
def admin(log_settings: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(**kafka_access(log_settings).kafka_python())
    yield client
    client.close()


def some(count: int) -> list[tuple[str, bytes]]:
    return [(f"key-{uuid4()}", f"value-{uuid4()}".encode()) for _ in range(count)]


def grow(admin: KafkaAdminClient, topic: str, partitions: int) -> None:
    admin.create_partitions({topic: partitions})
    admin.wait_for_topics([topic])


def test_another_client_reads_what_was_appended(log: KafkaLog, log_settings: Settings) -> None:
    records = some(300)
    log.append(records)
    found = kept(log_settings)
    assert {key.decode(): value for key, (_, value) in found.items()} == dict(records)


def test_a_copy_that_another_client_appends_meets_the_first_in_one_partition(
    log: KafkaLog, log_settings: Settings
) -> None:
    records = some(200)
    append(log_settings, records)
    theirs = kept(log_settings)
    start = log.end()
    log.append(records)
    ours = {record.value: record.partition for record in log.read(start, log.end())}
    assert ours == {value: partition for partition, value in theirs.values()}
    assert len(set(ours.values())) == len(start)


def test_records_of_any_kind_from_another_client_are_read(log: KafkaLog, log_settings: Settings) -> None:
    append_foreign(log_settings, [None, b"", b"\xff\x00garbage"])
    began = time.time_ns() // 1_000_000 - 60_000
    found = list(log.read({}, log.end()))
    assert sorted(record.value for record in found) == [b"", b"", b"\xff\x00garbage"]
    assert all(record.appended_at > began for record in found)  # the broker's time, whatever the sender says


def test_partitions_that_are_added_are_found_and_read(
    log: KafkaLog, log_settings: Settings, admin: KafkaAdminClient
) -> None:
    log.append(some(20))
    before = log.horizon()
    grow(admin, topic_of(log_settings), 2 * len(before.positions))
    eventually(lambda: len(log.horizon().positions) == 2 * len(before.positions), within=10)
    records = some(400)
    other = open_log(log_settings)  # a client that has known of the old partitions spreads to the new ones by itself
    other.append(records)
    other.close()
    found = list(log.read(before.positions, log.horizon().positions))
    assert sorted(record.value for record in found) == sorted(value for _, value in records)
    assert len({record.partition for record in found}) == 2 * len(before.positions)
    assert len(log.positions_at(EPOCH)) == 2 * len(before.positions)


def test_reading_ends_where_it_should_when_retention_has_removed_the_range_or_a_part_of_it(
    log: KafkaLog, log_settings: Settings, admin: KafkaAdminClient
) -> None:
    log.append(some(400))
    end = log.end()
    topic = topic_of(log_settings)
    middle = {partition: offset // 2 for partition, offset in end.items()}
    admin.delete_records({TopicPartition(topic, partition): offset for partition, offset in middle.items()})
    assert log.positions_at(EPOCH) == middle
    first = {partition: next(log.read({partition: at}, {partition: at + 1})) for partition, at in middle.items()}
    assert log.trimmed() == {partition: record.appended_at for partition, record in first.items()}
    assert len(list(log.read({}, end))) == sum(end.values()) - sum(middle.values())
    assert list(log.read({}, middle)) == []
    assert list(log.read(dict.fromkeys(end, 1), dict.fromkeys(end, 5))) == []
    admin.delete_records({TopicPartition(topic, partition): offset for partition, offset in end.items()})
    assert log.positions_at(EPOCH) == end
    assert list(log.read({}, end)) == []
    assert log.trimmed().keys() == end.keys()
    assert min(log.trimmed().values()) >= max(record.appended_at for record in first.values())


def test_reading_ends_where_it_should_when_markers_of_transactions_take_the_last_offsets(
    log: KafkaLog, log_settings: Settings
) -> None:
    access = kafka_access(log_settings)
    producer = Producer(access.librdkafka() | {"transactional.id": str(uuid4())})
    producer.init_transactions(10)
    for number, finish in enumerate((producer.commit_transaction, producer.abort_transaction)):
        producer.begin_transaction()
        for n in range(40):
            producer.produce(access.topic, f"{number}".encode(), f"{n}")
        producer.flush(10)
        finish(10)
    found = list(log.read({}, log.end()))
    assert [record.value for record in found] == [b"0"] * 40


def test_a_range_that_the_log_does_not_hold_is_not_taken_for_read(log: KafkaLog) -> None:
    log.append(some(10))
    end = log.end()
    with pytest.raises(LogUnavailable, match=f"ends at {end[0]}"):
        list(log.read({}, {0: end[0] + 5}))


def test_readers_take_turns_and_may_stop_half_way(log: KafkaLog) -> None:
    records = some(3000)
    log.append(records)
    end = log.end()
    for _ in range(5):
        reading = log.read({}, end)
        next(reading)
        reading.close()
        assert sorted(record.value for record in log.read({}, end)) == sorted(value for _, value in records)


def test_topics_that_are_not_there_are_told_with_what_makes_them(log_settings: Settings) -> None:
    with pytest.raises(IncompatibleStore, match="tallymark infra up") as raised:
        open_log(replace(log_settings, log=f"{log_settings.log}-none"))
    assert f"--topic {topic_of(log_settings)}-none" in str(raised.value)


@pytest.mark.parametrize(
    ("configs", "needs"),
    [
        ({"message.timestamp.type": "CreateTime"}, "message.timestamp.type=LogAppendTime"),
        ({"message.timestamp.type": "LogAppendTime", "retention.ms": "60000"}, "retention.ms="),
        ({"message.timestamp.type": "LogAppendTime", "cleanup.policy": "compact"}, "cleanup.policy=delete"),
    ],
)
def test_a_topic_that_would_break_a_promise_is_refused_with_the_remedy(
    log_settings: Settings, admin: KafkaAdminClient, configs: dict[str, str], needs: str
) -> None:
    unfit = replace(log_settings, log=f"{log_settings.log}-unfit")
    topic = topic_of(unfit)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1, "configs": configs}})
    create_topic(unfit)  # leaves it as it is
    with pytest.raises(IncompatibleStore, match=r"kafka-configs\.sh") as raised:
        open_log(unfit)
    assert f"topic {topic} needs {needs}" in str(raised.value)


def test_topics_that_exist_may_be_made_again(log_settings: Settings, log: KafkaLog) -> None:
    log.append(some(5))
    create_topic(log_settings, partitions=99)
    assert sum(log.end().values()) == 5


def test_a_broker_that_refuses_is_told_by_its_address_before_long(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    settings = Settings(home=tmp_path, log=f"kafka://127.0.0.1:{port}/events")
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=f"127.0.0.1:{port}"):
        open_log(settings)
    with pytest.raises(LogUnavailable, match=f"127.0.0.1:{port}"):
        create_topic(settings)
    assert time.monotonic() - began < 30


def test_an_append_to_a_topic_that_was_deleted_is_not_acknowledged(
    log: KafkaLog, log_settings: Settings, admin: KafkaAdminClient
) -> None:
    log.append(some(1))
    admin.delete_topics([topic_of(log_settings)])
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=topic_of(log_settings)):
        log.append(some(1))
    assert time.monotonic() - began < 20


def test_the_horizon_is_told_by_the_brokers_clock(log: KafkaLog) -> None:
    before = datetime.now(UTC)
    horizon = log.horizon()
    assert before - timedelta(seconds=1) <= horizon.at <= datetime.now(UTC)
