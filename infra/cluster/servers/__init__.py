"""The servers of a cluster on this machine: Kafka, HBase with Thrift, and S3, each as a `Server`."""

from __future__ import annotations

from pathlib import Path

from infra.cluster.config import ClusterConfig
from infra.cluster.jars import jar_folder
from infra.cluster.servers.hbase import hbase, thrift
from infra.cluster.servers.kafka import kafka
from infra.cluster.servers.s3proxy import s3proxy
from infra.cluster.servers.server import Server

__all__ = ["Server", "servers_of"]


def servers_of(config: ClusterConfig, root: Path) -> list[Server]:
    """Those that `config` stands for, in `root`, each in a folder of its own. Nothing is fetched or started."""
    ports = config.ports
    return [
        kafka(
            root / "kafka",
            jar_folder("kafka"),
            port=ports["kafka"],
            controller=ports["kafka-controller"],
            heap=config.heap("kafka"),
        ),
        hbase(root / "hbase", jar_folder("hbase"), ports=ports, heap=config.heap("hbase")),
        *(
            thrift(
                name,
                root / name,
                jar_folder("hbase"),
                port=ports[name],
                zookeeper=ports["zookeeper"],
                heap=config.heap("thrift"),
            )
            for name in config.thrift_names
        ),
        s3proxy(root / "s3", jar_folder("s3proxy"), port=ports["s3"], heap=config.heap("s3")),
    ]
