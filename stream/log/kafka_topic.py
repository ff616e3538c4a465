"""What the topics of a log must be like, checked when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream.log.kafka_access import KafkaAccess
from stream.log.kafka_client import ANSWER_WITHIN_S, unavailable
from tallymark.errors import IncompatibleStore

__all__ = ["require_topics"]

_KEPT_AT_LEAST: Final = timedelta(days=1)  # for as long the archive may stand still without losing an event
_BROKERS_TIME: Final = "message.timestamp.type=LogAppendTime"
_MS: Final = timedelta(milliseconds=1)


def require_topics(admin: AdminClient, access: KafkaAccess) -> None:
    """Raises IncompatibleStore, with the remedy, when a topic is missing or would break what the log promises."""
    missing, wrong = [], []
    for name in (access.topic, access.clock_topic):
        configs = _configs(admin, access, name)
        if configs is None:
            missing.append(name)
            continue
        needed = (
            [] if configs["message.timestamp.type"] == "LogAppendTime" else ["message.timestamp.type=LogAppendTime"]
        )
        if name == access.topic:
            needed += _needs_to_keep(configs)
        if needed:
            wrong.append(f"topic {name} needs {' and '.join(needed)}: {_alter(access, name, needed)}")
    if missing:
        raise IncompatibleStore(
            f"Kafka at {access.brokers} has no topic {' and no topic '.join(missing)}; "
            f"`tallymark infra up` makes both on this machine. Elsewhere: {_create(access)}"
        )
    if wrong:
        raise IncompatibleStore(f"Kafka at {access.brokers}: {'; '.join(wrong)}")


def _configs(admin: AdminClient, access: KafkaAccess, topic: str) -> Mapping[str, str] | None:
    """The settings of a topic, None when there is no such topic."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (answer,) = admin.describe_configs([resource], request_timeout=ANSWER_WITHIN_S).values()
    try:
        return {name: entry.value for name, entry in answer.result().items()}
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise unavailable(access, error.args[0].str()) from error


def _needs_to_keep(configs: Mapping[str, str]) -> list[str]:
    needed = []
    if configs["cleanup.policy"] != "delete":
        needed.append("cleanup.policy=delete")  # compaction keeps the last copy of an event; the first one counts
    if 0 <= int(configs["retention.ms"]) < _KEPT_AT_LEAST // _MS:
        needed.append(f"retention.ms={timedelta(days=7) // _MS}")
    return needed


def _create(access: KafkaAccess) -> str:
    create = (
        f"kafka-topics.sh --bootstrap-server {access.brokers} --create --config message.timestamp.type=LogAppendTime"
    )
    return (
        f"{create} --config retention.ms={timedelta(days=7) // _MS} --topic {access.topic} --partitions 4; "
        f"{create} --config retention.ms={timedelta(hours=1) // _MS} --topic {access.clock_topic} --partitions 1 "
        "(or one for each broker)"
    )


def _alter(access: KafkaAccess, topic: str, needed: list[str]) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {access.brokers} --alter --entity-type topics --entity-name {topic} "
        f"--add-config {','.join(needed)}"
    )
