"""The parts that a shape stands for."""

from __future__ import annotations

from pathlib import Path

from infra.cluster.hbase import hbase, thrift
from infra.cluster.jars import place
from infra.cluster.kafka import kafka
from infra.cluster.part import Part
from infra.cluster.s3proxy import s3proxy
from infra.cluster.shape import Shape

__all__ = ["parts_of"]


def parts_of(shape: Shape, root: Path) -> list[Part]:
    """In `root`, each in a folder of its own. Nothing is fetched or started."""
    ports = shape.ports
    return [
        kafka(
            root / "kafka",
            place("kafka"),
            port=ports["kafka"],
            controller=ports["kafka-controller"],
            heap=shape.heap("kafka"),
        ),
        hbase(root / "hbase", place("hbase"), ports=ports, heap=shape.heap("hbase")),
        *(
            thrift(
                name,
                root / name,
                place("hbase"),
                port=ports[name],
                zookeeper=ports["zookeeper"],
                heap=shape.heap("thrift"),
            )
            for name in shape.thrift_names
        ),
        s3proxy(root / "s3", place("s3proxy"), port=ports["s3"], heap=shape.heap("s3")),
    ]
