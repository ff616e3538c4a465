"""HBase in one JVM (ZooKeeper, master and region server), and the Thrift servers through which Python reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from infra.cluster.addresses import HOST
from infra.cluster.probes import probe_port, probe_thrift
from infra.cluster.servers.server import Server, jvm

__all__ = ["FLAGS", "client_site", "hbase", "thrift", "xml"]

_OPENS: Final = (
    *(f"java.base/{package}" for package in ("java.lang", "java.lang.reflect", "java.nio", "java.util")),
    *(f"java.base/{package}" for package in ("java.util.concurrent", "jdk.internal.ref", "sun.nio.ch")),
)
_EXPORTS: Final = ("java.base/jdk.internal.misc", "java.security.jgss/sun.security.krb5")
FLAGS: Final = (  # what HBase 2.6 needs on Java 17
    "--add-modules=jdk.unsupported",
    *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS),
    *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS),
    "-Dorg.apache.hbase.thirdparty.io.netty.tryReflectionSetAccessible=true",
)
_CODECS: Final = "org.apache.hadoop.hbase.io.compress.aircompressor"
_LOGGING: Final = """\
log4j.rootLogger = WARN, out
log4j.appender.out = org.apache.log4j.ConsoleAppender
log4j.appender.out.layout = org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern = %d{ISO8601} %p %c{1}: %m%n
"""


def hbase(folder: Path, jars: Path, *, ports: Mapping[str, int], heap: str) -> Server:
    """Puts are in the write-ahead log, in the hands of the system, when they are acknowledged: kill -9 loses none."""
    listens = {name: ports[name] for name in ("zookeeper", "hbase-master", "hbase-region")}
    site = {
        **client_site(f"{HOST}:{ports['zookeeper']}"),
        "hbase.cluster.distributed": "false",
        "hbase.rootdir": (folder / "data").as_uri(),
        "hbase.tmp.dir": str(folder / "tmp"),
        "hbase.zookeeper.property.dataDir": str(folder / "zookeeper"),
        "hbase.unsafe.stream.capability.enforce": "false",  # asks of a folder what HDFS promises
        "hbase.wal.provider": "filesystem",
        "hbase.master.port": str(ports["hbase-master"]),
        "hbase.regionserver.port": str(ports["hbase-region"]),
        "hbase.master.ipc.address": HOST,
        "hbase.regionserver.ipc.address": HOST,
        "hbase.master.hostname": "localhost",
        "hbase.regionserver.hostname": "localhost",
        "hbase.master.info.port": "-1",  # its web pages are not in the jars
        "hbase.regionserver.info.port": "-1",
    }
    base = jvm(jars, heap=heap, config=folder, flags=FLAGS)
    return Server(
        name="hbase",
        port=ports["zookeeper"],
        listens=listens,
        folder=folder,
        files={"hbase-site.xml": xml(site), "log4j.properties": _LOGGING},
        arguments=(*base, "org.apache.hadoop.hbase.master.HMaster", "start"),
        probe=lambda: next(filter(None, map(probe_port, listens.values())), None),
    )


def thrift(name: str, folder: Path, jars: Path, *, port: int, zookeeper: int, heap: str) -> Server:
    """It gives up on a dead HBase within seconds: who waits behind it wants to know, and has retries of its own."""
    site = {
        **client_site(f"{HOST}:{zookeeper}"),
        "hbase.regionserver.thrift.port": str(port),
        "hbase.regionserver.thrift.ipaddress": HOST,
        "hbase.thrift.info.port": "-1",
        "hbase.thrift.server.socket.read.timeout": "600000",  # else idle clients are cut off after a minute
        "hbase.client.retries.number": "4",
        "hbase.rpc.timeout": "10000",
        "hbase.client.operation.timeout": "15000",
        "hbase.client.meta.operation.timeout": "15000",
        "zookeeper.recovery.retry": "1",
    }
    base = jvm(jars, heap=heap, config=folder, flags=FLAGS)
    return Server(
        name=name,
        port=port,
        listens={name: port},
        folder=folder,
        files={"hbase-site.xml": xml(site), "log4j.properties": _LOGGING},
        arguments=(*base, "org.apache.hadoop.hbase.thrift.ThriftServer", "start"),
        probe=lambda: probe_thrift(port),
        needs=zookeeper,
    )


def client_site(zookeeper: str) -> dict[str, str]:
    """What every client of HBase must know: where ZooKeeper is (host:port, or host,host:port), and the codecs."""
    hosts, _, port = zookeeper.rpartition(":")
    return {
        "hbase.zookeeper.quorum": hosts,
        "hbase.zookeeper.property.clientPort": port,
        "hbase.io.compress.snappy.codec": f"{_CODECS}.SnappyCodec",
        "hbase.io.compress.zstd.codec": f"{_CODECS}.ZstdCodec",
    }


def xml(site: Mapping[str, str]) -> str:
    rows = (f"  <property><name>{name}</name><value>{escape(value)}</value></property>" for name, value in site.items())
    return "\n".join(["<configuration>", *rows, "</configuration>", ""])
