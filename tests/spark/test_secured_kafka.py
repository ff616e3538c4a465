"""A broker that asks for a password over TLS, as managed ones do: the file `kafka_properties` is the key to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from infra.cluster.environment import environment_of
from infra.cluster.jars import jars
from infra.cluster.launch import launch
from infra.cluster.probes import probe_port
from infra.cluster.servers.kafka import kafka
from infra.cluster.servers.server import Server
from infra.host.home import Home
from infra.host.process import end
from stream.log import open_log
from stream.log.kafka.admin import create_topic
from stream.log.spark_source import undecoded_stream
from tallymark.errors import SettingsError
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tests.support.kafka_clients import kept
from tests.support.systems import free_ports

PASSWORD = 'p"a\\ss=wörd'
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@pytest.fixture(scope="module")
def broker(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Kafka whose one door for clients is SASL over TLS, with a certificate that it has signed itself."""
    home = Home(tmp_path_factory.mktemp("secured"))
    home.prepare()
    port, controller = free_ports(2)
    server = _secured(kafka(home.root / "kafka", jars("kafka"), port=port, controller=controller, heap="256m"))
    try:
        launch([server], environment_of(home), then={}, say=lambda _: None)
        yield server
    finally:
        end("kafka", home, grace=0)


def _secured(server: Server) -> Server:
    """`server` with certificate and users added to its configuration."""
    server.folder.mkdir(parents=True)
    key, certificate = server.folder / "key.pem", server.folder / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tallymark"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*made, *names], check=True, capture_output=True)
    (server.folder / "both.pem").write_text(key.read_text() + certificate.read_text())
    escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    users = f'{_LOGIN} username="broker" password="b" user_broker="b" user_tallymark="{escaped}";'
    text = server.files["server.properties"].replace("CLIENTS:PLAINTEXT", "CLIENTS:SASL_SSL")
    text += f"""\
sasl.enabled.mechanisms = PLAIN
sasl.mechanism.inter.broker.protocol = PLAIN
listener.name.clients.plain.sasl.jaas.config = {_as_property(users)}
ssl.keystore.type = PEM
ssl.keystore.location = {server.folder / "both.pem"}
ssl.truststore.type = PEM
ssl.truststore.location = {certificate}
"""
    files = {**server.files, "server.properties": text}
    return server._replace(files=files, probe=lambda: probe_port(server.port))


def _as_property(text: str) -> str:
    """In the words of a .properties file."""
    return text.replace("\\", "\\\\").encode("ascii", "backslashreplace").decode().replace("\\xf6", "\\u00f6")


def _settings(broker: Server, home: Path, *, password: str = PASSWORD) -> Settings:
    properties = home / "kafka.properties"
    properties.write_text(
        "security.protocol=sasl_ssl\nsasl.mechanisms=PLAIN\nsasl.username=tallymark\n"
        f"sasl.password={password}\nssl.ca.location={broker.folder / 'certificate.pem'}\n"
    )
    return replace(Settings(home=home), log=f"kafka://127.0.0.1:{broker.port}/events", kafka_properties=properties)


def test_every_client_gets_in_by_the_properties_file(broker: Server, spark: SparkSession, tmp_path: Path) -> None:
    settings = _settings(broker, tmp_path)
    create_topic(settings, partitions=2)
    events = [Event(event_id=f"e{n}", type="view", video_id="v", occurred_at=1_700_000_000_000) for n in range(50)]
    with closing(open_log(settings)) as log:
        log.append([(event.event_id, encode(event)) for event in events])
        assert sum(log.horizon().positions.values()) == 50
    assert set(kept(settings)) == {event.event_id.encode() for event in events}
    records = undecoded_stream(spark, settings, start={0: 0, 1: 0}, max_rows=1000)
    query = records.writeStream.format("memory").queryName("secured").trigger(availableNow=True).start()
    query.awaitTermination(120)
    assert {bytes(row.value) for row in spark.table("secured").collect()} == set(map(encode, events))


def test_a_wrong_password_is_named_as_such_and_not_shown(broker: Server, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"KAFKA_PROPERTIES: Kafka refuses the login: .*password") as refused:
        open_log(_settings(broker, tmp_path, password="guessed"))
    assert "guessed" not in str(refused.value)
