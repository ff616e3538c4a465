"""How the settings of Kafka are read: where the brokers are, and what the file of properties adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stream.log.kafka.access import KafkaAccess, kafka_access
from tallymark.errors import SettingsError
from tallymark.settings import Settings

SASL = """# as a managed service gives it
security.protocol=sasl_ssl
sasl.mechanisms = SCRAM-SHA-512

sasl.username=tallymark
sasl.password=s=cr#t !
ssl.ca.location=/etc/kafka/ca.pem
"""


def access(tmp_path: Path, text: str | None = None) -> KafkaAccess:
    settings = Settings(log="kafka://one:9092,two:9093/events.v1")
    if text is None:
        return kafka_access(settings)
    path = tmp_path / "kafka.properties"
    path.write_text(text)
    return kafka_access(replace(settings, kafka_properties=path))


def problems(tmp_path: Path, text: str) -> str:
    with pytest.raises(SettingsError) as raised:
        access(tmp_path, text)
    return str(raised.value)


def test_the_url_names_brokers_and_topic(tmp_path: Path) -> None:
    found = access(tmp_path)
    assert (found.brokers, found.topic, found.clock_topic) == ("one:9092,two:9093", "events.v1", "events.v1-clock")
    assert found.librdkafka() == {"bootstrap.servers": "one:9092,two:9093"}
    assert found.kafka_python() == {"bootstrap_servers": ["one:9092", "two:9093"]}


def test_properties_reach_both_clients_in_their_own_names(tmp_path: Path) -> None:
    found = access(tmp_path, SASL)
    assert found.librdkafka() == {
        "bootstrap.servers": "one:9092,two:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "tallymark",
        "sasl.password": "s=cr#t !",
        "ssl.ca.location": "/etc/kafka/ca.pem",
    }
    assert found.kafka_python() == {
        "bootstrap_servers": ["one:9092", "two:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "tallymark",
        "sasl_plain_password": "s=cr#t !",
        "ssl_cafile": "/etc/kafka/ca.pem",
    }


def test_a_certificate_of_our_own_reaches_both_clients(tmp_path: Path) -> None:
    text = "security.protocol=SSL\nssl.certificate.location=/c.pem\nssl.key.location=/k.pem\nssl.key.password=x\n"
    found = access(tmp_path, text)
    assert found.librdkafka()["ssl.key.location"] == "/k.pem"
    named = found.kafka_python()
    assert (named["ssl_certfile"], named["ssl_keyfile"], named["ssl_password"]) == ("/c.pem", "/k.pem", "x")


def test_properties_reach_java_with_what_their_files_hold(tmp_path: Path) -> None:
    for name in ("ca", "certificate", "key"):
        (tmp_path / f"{name}.pem").write_text(f"-----{name}-----")
    found = access(
        tmp_path,
        SASL.replace("/etc/kafka", str(tmp_path)).replace("s=cr#t !", 's"c\\t')
        + f"ssl.certificate.location={tmp_path}/certificate.pem\nssl.key.location={tmp_path}/key.pem\n",
    )
    assert found.java() == {
        "bootstrap.servers": "one:9092,two:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="tallymark" password="s\\"c\\\\t";',
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "-----ca-----",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": "-----certificate-----",
        "ssl.keystore.key": "-----key-----",
    }


def test_a_certificate_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"/etc/kafka/ca\.pem"):
        access(tmp_path, SASL).java()


def test_both_clients_know_every_name(tmp_path: Path) -> None:
    from confluent_kafka import Producer
    from kafka import KafkaAdminClient

    found = access(tmp_path, SASL.replace("ssl.ca.location=/etc/kafka/ca.pem", ""))
    Producer(found.librdkafka() | {"log_level": 0})
    assert set(found.kafka_python()) <= set(KafkaAdminClient.DEFAULT_CONFIG)


def test_all_that_is_wrong_is_said_at_once_and_no_value_with_it(tmp_path: Path) -> None:
    says = problems(tmp_path, "sasl.jaas.config=s3cret\nnonsense s3cret\nsecurity.protocol=TLS\nsasl.password=s3cret\n")
    assert "sasl.jaas.config" in says
    assert "sasl.mechanism" in says  # one of the names that are known
    assert "line 2" in says
    assert "SASL_SSL" in says
    assert "s3cret" not in says


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=me", "sasl.password"),
        ("security.protocol=SASL_SSL\nsasl.mechanism=GSSAPI\nsasl.username=me\nsasl.password=x", "SCRAM-SHA-256"),
        ("security.protocol=SSL\nsasl.username=me", "sasl.username has no effect"),
        ("security.protocol=SSL\nssl.key.location=/k.pem", "need each other"),
        ("ssl.ca.location=/ca.pem", "ssl.ca.location has no effect"),
    ],
)
def test_what_does_not_go_together_is_told_by_name(tmp_path: Path, text: str, named: str) -> None:
    assert named in problems(tmp_path, text)


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.properties"):
        kafka_access(Settings(log="kafka://one:9092/events", kafka_properties=tmp_path / "no.properties"))


def test_an_access_that_is_shown_shows_no_secret(tmp_path: Path) -> None:
    assert "s=cr#t" not in repr(access(tmp_path, SASL))
