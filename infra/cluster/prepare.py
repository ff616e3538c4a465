"""`tallymark infra prepare`: the topic, tables and bucket that the settings name, on servers that others run."""

from __future__ import annotations

import os
from datetime import timedelta
from importlib import import_module
from typing import Annotated
from urllib.parse import urlsplit

import typer

from infra.cluster.bucket import make_bucket
from infra.cluster.jars import jars
from infra.cluster.site import site
from infra.cluster.tables import REGIONS, make_tables
from infra.host.home import Home
from tallymark.cli.terminal import say
from tallymark.errors import ProcessError
from tallymark.settings import Settings, parse_duration

__all__ = ["prepare"]


def prepare(
    zookeeper: Annotated[
        str | None, typer.Option(metavar="HOST,…:PORT", help="HBase's ZooKeeper; tables are not made through Thrift.")
    ] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the topic.")] = 4,
    replication: Annotated[int, typer.Option(min=1, help="Copies of each partition.")] = 1,
    retention: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="TIME", show_default="7d", help="How long the topic keeps events."),
    ] = None,
    regions: Annotated[int, typer.Option(min=1, max=REGIONS, help="Regions of a new table of cells.")] = REGIONS,
) -> None:
    """Make the topic, the tables and the bucket that the settings name, unless they exist.

    For Kafka, HBase and S3 that run elsewhere; `tallymark infra up` has done it for its own.

    Example: `tallymark infra prepare --zookeeper zk1,zk2,zk3:2181 --partitions 32 --replication 3`
    """
    settings = Settings.load(os.environ)
    if settings.store.startswith("hbase:") and zookeeper is None:
        raise ProcessError("tables are made by HBase's own client, which asks ZooKeeper: add --zookeeper HOST:PORT")
    if settings.log.startswith("kafka:"):
        create_topic = import_module("stream.log.kafka.admin").create_topic
        create_topic(settings, partitions=partitions, replication=replication, retention=retention or timedelta(days=7))
        say(f"✓ the topic of {settings.log}")
    if zookeeper is not None:
        home = Home(settings.home / "infra")
        home.prepare()
        prefix = settings.store.partition("?prefix=")[2]
        make_tables([prefix], site(home), jars=jars("hbase"), zookeeper=zookeeper, regions=regions)
        say(f"✓ the tables of {settings.store}")
    if settings.raw.startswith("s3:"):
        make_bucket(urlsplit(settings.raw).netloc)
        say(f"✓ the bucket of {settings.raw}")
