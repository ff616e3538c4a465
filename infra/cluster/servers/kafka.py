"""A Kafka broker of one node, which is its own controller (KRaft: no ZooKeeper)."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import md5
from pathlib import Path

from infra.cluster.addresses import HOST
from infra.cluster.probes import probe_kafka
from infra.cluster.servers.server import Preparation, Server, jvm

__all__ = ["kafka"]

_LOGGING = """\
status = error
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
"""


def kafka(folder: Path, jars: Path, *, port: int, controller: int, heap: str) -> Server:
    """With one node every topic has one replica, Kafka's own ones too. Topics are made on purpose only."""
    data = folder / "data"
    properties = f"""\
process.roles = broker,controller
node.id = 1
controller.quorum.voters = 1@{HOST}:{controller}
listeners = CLIENTS://{HOST}:{port},CONTROLLER://{HOST}:{controller}
advertised.listeners = CLIENTS://{HOST}:{port}
listener.security.protocol.map = CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name = CLIENTS
controller.listener.names = CONTROLLER
log.dirs = {data}
auto.create.topics.enable = false
offsets.topic.num.partitions = 4
offsets.topic.replication.factor = 1
transaction.state.log.num.partitions = 4
transaction.state.log.replication.factor = 1
transaction.state.log.min.isr = 1
share.coordinator.state.topic.num.partitions = 4
share.coordinator.state.topic.replication.factor = 1
share.coordinator.state.topic.min.isr = 1
group.initial.rebalance.delay.ms = 0
log.cleaner.dedupe.buffer.size = 8388608
"""
    base = jvm(
        jars,
        heap=heap,
        flags=(f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", f"-Dkafka.logs.dir={folder}"),
    )
    file = str(folder / "server.properties")
    return Server(
        name="kafka",
        port=port,
        listens={"kafka": port, "kafka-controller": controller},
        folder=folder,
        files={"server.properties": properties, "log4j2.properties": _LOGGING},
        arguments=(*base, "kafka.Kafka", file),
        probe=lambda: probe_kafka(port),
        preparation=Preparation(
            (*base, "kafka.tools.StorageTool", "format", "-t", _cluster_id(folder), "-c", file),
            makes=data / "meta.properties",
        ),
    )


def _cluster_id(folder: Path) -> str:
    """Kafka wants 16 bytes in base64, and none that begins as an option does; the same folder is the same cluster."""
    return (
        urlsafe_b64encode(md5(str(folder).encode(), usedforsecurity=False).digest())
        .decode()
        .rstrip("=")
        .replace("-", "_")
    )
