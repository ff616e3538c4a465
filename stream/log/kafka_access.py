"""How to reach Kafka: the brokers and topic of the setting `log`, and what the file `kafka_properties` adds.

The file is in librdkafka's names, one `name=value` a line, as confluent-kafka and most managed services write it. Its
values are passed on and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tallymark.errors import SettingsError
from tallymark.settings import Settings

__all__ = ["KafkaAccess", "kafka_access"]

_PROTOCOL: Final = "security.protocol"
_MECHANISM: Final = "sasl.mechanism"
_CHOICES: Final = {
    _PROTOCOL: ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    _MECHANISM: ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
}
_IN_KAFKA_PYTHON: Final = {
    _PROTOCOL: "security_protocol",
    _MECHANISM: "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
}


@dataclass(frozen=True)
class KafkaAccess:
    """`brokers` as host:port,…; `security` in librdkafka's names."""

    brokers: str
    topic: str
    security: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def clock_topic(self) -> str:
        """Where the brokers are asked for the time; it holds nothing else."""
        return f"{self.topic}-clock"

    def librdkafka(self) -> dict[str, str]:
        """The part of a client's configuration that says where and as whom."""
        return {"bootstrap.servers": self.brokers, **self.security}

    def kafka_python(self) -> dict[str, object]:
        """The same as arguments of kafka-python's clients."""
        named = {_IN_KAFKA_PYTHON[name]: value for name, value in self.security.items()}
        return {"bootstrap_servers": self.brokers.split(","), **named}


def kafka_access(settings: Settings) -> KafkaAccess:
    """What `settings.log`, a kafka:// URL, and `settings.kafka_properties` say. Raises SettingsError."""
    brokers, _, topic = settings.log.removeprefix("kafka://").partition("/")
    if settings.kafka_properties is None:
        return KafkaAccess(brokers, topic)
    return KafkaAccess(brokers, topic, _read_security(settings.kafka_properties))


def _read_security(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"TALLYMARK_KAFKA_PROPERTIES: {path} cannot be read: {error}"]) from None
    security: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        name = _MECHANISM if name == "sasl.mechanisms" else name
        if not equals:
            problems.append(f"line {number} of {path}: expected name=value")
        elif name not in _IN_KAFKA_PYTHON:
            problems.append(f"{name} in {path}: not known here; known are {', '.join(_IN_KAFKA_PYTHON)}")
        else:
            security[name] = value.upper() if name in _CHOICES else value
    problems += [f"{path}: {problem}" for problem in _contradictions(security)]
    if problems:
        raise SettingsError(problems)
    return security


def _contradictions(security: Mapping[str, str]) -> list[str]:
    problems = [
        f"{name} is not one of {', '.join(choices)}"
        for name, choices in _CHOICES.items()
        if security.get(name, choices[0]) not in choices
    ]
    protocol = security.get(_PROTOCOL, "PLAINTEXT")
    needed = (_MECHANISM, "sasl.username", "sasl.password") if protocol.startswith("SASL") else ()
    problems += [f"{_PROTOCOL} {protocol} needs {name} too" for name in needed if not security.get(name)]
    for layer in ("sasl", "ssl"):
        named = [name for name in security if name.startswith(f"{layer}.")]
        if named and layer.upper() not in protocol:
            problems.append(f"{named[0]} has no effect with {_PROTOCOL} {protocol}")
    return problems
