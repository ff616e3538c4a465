"""Real Kafka, HBase and S3 for tests: one cluster for all of them, in which each names a topic, tables and a bucket of
its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import boto3
import happybase
from confluent_kafka.admin import AdminClient

from infra.cluster import Cluster, Names
from infra.cluster.environment import require_machine
from infra.cluster.jars import BUNDLES, jars
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tests.support.systems import settings_in

_REGIONS: Final = 2  # of each table: enough to have several, and quick to make
_STOCK: Final = 3


class RunningCluster:
    """`cluster` can be broken with `kill`, `start` and signals to the processes of its `parts()`; mend it again."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._stock: list[Names] = []

    @property
    def environment(self) -> dict[str, str]:
        """AWS_*, which are in os.environ as well as long as the fixture lives."""
        variables = self.cluster.environment()
        return {name: value for name, value in variables.items() if name.startswith("AWS_")}

    def names(self) -> Names:
        """A topic, tables and a bucket that exist, are empty, and that nobody else gets."""
        if not self._stock:
            fresh = [uuid4().hex[:10] for _ in range(_STOCK)]
            self._stock = [Names(topic=f"topic-{n}", prefix=f"t{n}_", bucket=f"bucket-{n}") for n in fresh]
            self.cluster.make(*self._stock, regions=_REGIONS)
        return self._stock.pop()

    def contents(self, beginning: str) -> set[str]:
        """The names of all topics, tables and buckets that begin so."""
        found = Settings.load(self.cluster.environment())
        brokers, _, _ = found.log.removeprefix("kafka://").partition("/")
        connection = happybase.Connection(port=int(found.store.partition("?")[0].rpartition(":")[2]))
        tables = [name.decode() for name in connection.tables()]
        connection.close()
        buckets = [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]
        names = {*AdminClient({"bootstrap.servers": brokers}).list_topics(timeout=30).topics, *tables, *buckets}
        return {name for name in names if name.startswith(beginning)}

    def settings(self, home: Path, **changes: Any) -> Settings:
        """As `systems.settings_in`, with `names` of their own on this cluster. Nothing is shared between two calls."""
        named = Settings.load(self.cluster.environment(self.names()))
        embedded = settings_in(home)
        chosen = {name: getattr(embedded, name) for name in ("api", "gateway", "archive_trigger", "recount_every")}
        return replace(named, home=home, **(chosen | changes))


def why_no_cluster() -> str | None:
    """What keeps this machine from running the servers: no Java, no Maven, or Maven finds no repository. None when
    nothing does: then all that is needed has been fetched."""
    try:
        require_machine()
        for bundle in BUNDLES:
            jars(bundle)
    except ProcessError as error:
        return " ".join(str(error).split())
    return None


@contextmanager
def running_cluster(home: Path) -> Iterator[RunningCluster]:
    """A cluster in `home` while inside. Its AWS_* variables are in force for this process and its children.

    To save the start while working on tests, TEST_CLUSTER may name the home of one that then goes on running.
    """
    kept = os.environ.get("TEST_CLUSTER")
    cluster = Cluster(Path(kept) if kept else home)
    cluster.up(names=None, thrift_servers=2)
    running = RunningCluster(cluster)
    before = dict(os.environ)
    os.environ.update(running.environment)
    try:
        yield running
    finally:
        for name in running.environment:
            os.environ.pop(name)
            os.environ.update({name: before[name]} if name in before else {})
        if not kept:
            cluster.down(grace=0)
