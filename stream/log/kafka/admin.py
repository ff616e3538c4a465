"""Makes and deletes the topics of a log on Kafka. Used where an installation is set up, never by what runs on it."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from stream.log.kafka.access import kafka_access
from tallymark.errors import LogUnavailable
from tallymark.instants import length_ms
from tallymark.settings import Settings

__all__ = ["create_topic", "delete_topic"]

_ANSWER_WITHIN_MS: Final = 10_000


def create_topic(
    settings: Settings, *, partitions: int = 4, replication: int = 1, retention: timedelta = timedelta(days=7)
) -> None:
    """Make the topic that `settings.log` names, and its clock, unless they exist; returns when both are led.

    A topic that exists is left as it is; `open_log` says what it lacks. Raises LogUnavailable.
    """
    access = kafka_access(settings)
    try:
        admin = KafkaAdminClient(**access.kafka_python(), bootstrap_timeout_ms=_ANSWER_WITHIN_MS)
        try:
            brokers = len(admin.describe_cluster()["brokers"])
            wanted = {
                access.topic: _topic(partitions, replication, retention),
                access.clock_topic: _topic(brokers, replication, timedelta(hours=1)),
            }
            known = set(admin.list_topics())
            for name, topic in wanted.items():
                if name not in known:
                    _create(admin, name, topic)
            admin.wait_for_topics(list(wanted))
        finally:
            admin.close()
    except KafkaError as error:
        raise LogUnavailable(
            f"Kafka at {access.brokers} did not make the topic {access.topic}: {error}; see that the brokers run"
        ) from error


def delete_topic(settings: Settings) -> None:
    """Delete the topic that `settings.log` names, with its events, and its clock, unless they are gone already.

    Raises LogUnavailable.
    """
    access = kafka_access(settings)
    try:
        admin = KafkaAdminClient(**access.kafka_python(), bootstrap_timeout_ms=_ANSWER_WITHIN_MS)
        try:
            for name in (access.topic, access.clock_topic):
                with suppress(UnknownTopicOrPartitionError):
                    admin.delete_topics([name])
        finally:
            admin.close()
    except KafkaError as error:
        raise LogUnavailable(
            f"Kafka at {access.brokers} did not delete the topic {access.topic}: {error}; see that the brokers run"
        ) from error


def _topic(partitions: int, replication: int, retention: timedelta) -> dict[str, object]:
    configs = {
        "message.timestamp.type": "LogAppendTime",  # the instants of records are the brokers', whoever sends them
        "cleanup.policy": "delete",
        "retention.ms": str(length_ms(retention)),
        "min.insync.replicas": str(max(1, replication - 1)),
    }
    return {"num_partitions": partitions, "replication_factor": replication, "configs": configs}


def _create(admin: KafkaAdminClient, name: str, topic: dict[str, object]) -> None:
    with suppress(TopicAlreadyExistsError):  # by another one, just now
        admin.create_topics({name: topic})
