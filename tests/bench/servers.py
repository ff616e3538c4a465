"""Real Kafka, HBase and S3 for the benchmarks of the cluster mode, and in them new systems that share nothing."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from infra.cluster import Cluster, Names
from tallymark.errors import ProcessError
from tallymark.settings import Settings
from tests.bench.phases import say
from tests.support.systems import settings_in

__all__ = ["Servers", "servers"]


class Servers:
    """`kept`: they go on running, so that what was made is taken away again."""

    def __init__(self, cluster: Cluster, *, kept: bool) -> None:
        self._cluster = cluster
        self._kept = kept

    @contextmanager
    def systems(self, count: int = 1) -> Iterator[list[Settings]]:
        """Settings of so many systems, each with an empty topic, tables and bucket, and with a home and ports of its
        own. The variables by which S3 is reached are in this process's environment."""
        names = [
            Names(topic=f"bench-{each}", prefix=f"bench_{each}_", bucket=f"bench-{each}")
            for each in (uuid4().hex[:8] for _ in range(count))
        ]
        self._cluster.make(*names)
        with ExitStack() as stack:
            if self._kept:
                stack.callback(self._drop, names)
            homes = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in names]
            yield [self._settings(each, home) for each, home in zip(names, homes, strict=True)]

    def _settings(self, names: Names, home: Path) -> Settings:
        variables = self._cluster.environment(names)
        os.environ.update({name: value for name, value in variables.items() if name.startswith("AWS_")})
        own = settings_in(home)
        ports = {name: getattr(own, name) for name in ("api", "gateway", "stream_metrics")}
        return replace(Settings.load(variables), home=home, **ports)

    def _drop(self, names: list[Names]) -> None:
        for each in names:
            try:
                self._cluster.drop(each)
            except ProcessError as error:
                say(f"{each.topic} was not taken away: {error}")


@contextmanager
def servers() -> Iterator[Servers]:
    """Those that `tallymark infra up` has started in TALLYMARK_HOME, if TALLYMARK_LOG names their Kafka; else their
    own, in a temporary folder, ended at the end."""
    wanted = os.environ.get("TALLYMARK_LOG", "")
    if wanted.startswith("kafka:"):
        cluster = Cluster(Settings.load(os.environ).home)
        if cluster.environment()["TALLYMARK_LOG"] != wanted:
            sys.exit(f"TALLYMARK_LOG={wanted} is not the Kafka of {cluster.home.root}; unset it, or set TALLYMARK_HOME")
        yield Servers(cluster, kept=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(Path(folder))
        try:
            say("starting Kafka, HBase and S3")
            cluster.up(names=None, thrift_servers=2)
            yield Servers(cluster, kept=False)
        finally:
            cluster.down(grace=0)
