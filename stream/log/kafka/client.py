"""What all clients of librdkafka have in common: how they are configured, and what they raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka import KafkaException

from stream.log.kafka.access import KafkaAccess
from tallymark.errors import LogUnavailable

__all__ = ["ANSWER_WITHIN_S", "answering", "configured", "unavailable"]

ANSWER_WITHIN_S: Final = 10.0  # a broker that is started anew is back by then
_COMMON: Final = {
    "log_level": 0,  # what matters is raised
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "retry.backoff.ms": 50,
    "topic.metadata.refresh.interval.ms": 30_000,
    "socket.nagle.disable": True,
}


def configured(access: KafkaAccess, more: Mapping[str, Any]) -> dict[str, Any]:
    """A client's configuration in librdkafka's names: where, as whom, and `more`."""
    return {**_COMMON, **access.librdkafka(), **more}


@contextmanager
def answering(access: KafkaAccess) -> Iterator[None]:
    """Raises LogUnavailable in place of what confluent-kafka raises."""
    try:
        yield
    except KafkaException as error:
        raise unavailable(access, str(error.args[0].str())) from error


def unavailable(access: KafkaAccess, why: str) -> LogUnavailable:
    return LogUnavailable(
        f"Kafka at {access.brokers}, topic {access.topic}: {why}; "
        "see that the brokers run and that TALLYMARK_LOG names them"
    )
