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

_SCRAM: Final = "org.apache.kafka.common.security.scram.ScramLoginModule"
_LOGIN: Final = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": _SCRAM,
    "SCRAM-SHA-512": _SCRAM,
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

    def java(self) -> dict[str, str]:
        """The same in the names of Java's clients; certificates and keys are read, not named by their paths."""
        given = dict(self.security)
        named = {"bootstrap.servers": self.brokers}
        for name in (_PROTOCOL, _MECHANISM):
            named |= {name: given[name]} if name in given else {}
        if _MECHANISM in given:
            user, password = (_quoted(given[name]) for name in ("sasl.username", "sasl.password"))
            named["sasl.jaas.config"] = f"{_LOGIN[given[_MECHANISM]]} required username={user} password={password};"
        if "ssl.ca.location" in given:
            named |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": _text(given["ssl.ca.location"])}
        if "ssl.key.location" in given:
            named |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.certificate.chain": _text(given["ssl.certificate.location"]),
                "ssl.keystore.key": _text(given["ssl.key.location"]),
            }
        if "ssl.key.password" in given:
            named["ssl.key.password"] = given["ssl.key.password"]
        return named


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
    key, certificate = "ssl.key.location" in security, "ssl.certificate.location" in security
    if key != certificate:
        problems.append("ssl.key.location and ssl.certificate.location need each other")
    protocol = security.get(_PROTOCOL, "PLAINTEXT")
    needed = (_MECHANISM, "sasl.username", "sasl.password") if protocol.startswith("SASL") else ()
    problems += [f"{_PROTOCOL} {protocol} needs {name} too" for name in needed if not security.get(name)]
    for layer in ("sasl", "ssl"):
        named = [name for name in security if name.startswith(f"{layer}.")]
        if named and layer.upper() not in protocol:
            problems.append(f"{named[0]} has no effect with {_PROTOCOL} {protocol}")
    return problems


def _quoted(text: str) -> str:
    """As a value in Java's login configuration."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}, named in TALLYMARK_KAFKA_PROPERTIES, cannot be read: {error}"]) from None
