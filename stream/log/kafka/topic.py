"""What the topics of a log must be like, checked when it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from stream.log.kafka.access import KafkaAccess
from stream.log.kafka.client import ANSWER_WITHIN_S, configured, unavailable
from tallymark.errors import IncompatibleStore, SettingsError
from tallymark.instants import DAY_MS, HOUR_MS, length_ms

__all__ = ["Topics"]

_KEPT_AT_LEAST: Final = timedelta(days=1)  # for as long the archive may stand still without losing an event
_BROKERS_TIME: Final = "message.timestamp.type=LogAppendTime"
_WEEK_MS: Final = 7 * DAY_MS


class Topics:
    """What the brokers say of the topics. `admin` is the client that asks them."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._refusal = ""
        self.admin = AdminClient(configured(access, {"error_cb": self._note}))

    def require(self) -> None:
        """Raises IncompatibleStore, with the remedy, when a topic is missing or would break what the log promises,
        SettingsError when the brokers refuse the login, LogUnavailable when they do not answer."""
        access = self._access
        missing, wrong = [], []
        for name in (access.topic, access.clock_topic):
            configs = self._configs(name)
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

    def _configs(self, topic: str) -> Mapping[str, str] | None:
        """The settings of a topic, None when there is no such topic."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        (answer,) = self.admin.describe_configs([resource], request_timeout=ANSWER_WITHIN_S).values()
        self._wait(answer)
        try:
            return {name: entry.value for name, entry in answer.result().items()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise unavailable(self._access, error.args[0].str()) from error

    def _wait(self, answer: Future[Any]) -> None:
        """librdkafka tries a login again and again until time is up, and calls it that: its first refusal is ours."""
        while not answer.done():
            self.admin.poll(0.05)
            if self._refusal:
                raise SettingsError([f"TALLYMARK_KAFKA_PROPERTIES: Kafka refuses the login: {self._refusal}"])

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            self._refusal = error.str()


def _needs_to_keep(configs: Mapping[str, str]) -> list[str]:
    needed = []
    if configs["cleanup.policy"] != "delete":
        needed.append("cleanup.policy=delete")  # compaction keeps the last copy of an event; the first one counts
    if 0 <= int(configs["retention.ms"]) < length_ms(_KEPT_AT_LEAST):
        needed.append(f"retention.ms={_WEEK_MS}")
    return needed


def _create(access: KafkaAccess) -> str:
    create = (
        f"kafka-topics.sh --bootstrap-server {access.brokers} --create --config message.timestamp.type=LogAppendTime"
    )
    return (
        f"{create} --config retention.ms={_WEEK_MS} --topic {access.topic} --partitions 4; "
        f"{create} --config retention.ms={HOUR_MS} --topic {access.clock_topic} --partitions 1 "
        "(or one for each broker)"
    )


def _alter(access: KafkaAccess, topic: str, needed: list[str]) -> str:
    return (
        f"kafka-configs.sh --bootstrap-server {access.brokers} --alter --entity-type topics --entity-name {topic} "
        f"--add-config {','.join(needed)}"
    )
