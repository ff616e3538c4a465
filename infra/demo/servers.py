"""The ground of `tallymark demo --cluster`: Kafka, HBase with Thrift, and S3 on this machine."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from infra.demo.display import Stage

__all__ = ["Servers"]


@dataclass(frozen=True)
class Servers:
    """`cluster` is a Cluster; it `ran_already` when it is the user's, and then goes on afterwards.
    `names` are of this demo alone: what an earlier one left on the servers is not met again."""

    home: Path
    cluster: Any
    names: Any
    ran_already: bool

    @classmethod
    def choose(cls, home: Path) -> Servers:
        """Those that `tallymark infra up` has started, if they all run, else some in the demo's own folder."""
        of = import_module("infra.cluster.cluster").Cluster
        begun = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        names = import_module("infra.cluster.shape").Names(
            topic=f"demo-{begun}", prefix=f"demo_{begun}_", bucket=f"demo-{begun}"
        )
        own = home / "demo-cluster"
        parts = of(home).parts()
        ran_already = bool(parts) and all(process is not None for _, process in parts)
        return cls(own, of(home if ran_already else own), names, ran_already)

    @property
    def homes(self) -> Sequence[Path]:
        return (self.home,) if self.ran_already else (self.home, self.cluster.home.root)

    def clear(self) -> None:
        import_module("infra.cluster.cluster").Cluster(self.home).down(grace=0)

    def prepare(self, stage: Stage) -> dict[str, str]:
        names, root = self.names, self.cluster.home.root
        if self.ran_already:
            stage.act("Kafka, HBase with Thrift, and an S3 server run already")
            stage.say(f"started by `tallymark infra up` in {root}; the demo uses them and lets them run")
            self.cluster.make(names)
        else:
            stage.act("Starting Kafka, HBase with Thrift, and an S3 server")
            stage.say(f"each a process on this machine that listens on loopback; what they keep is in {root}")
            self.cluster.up(names=names, say=lambda line: stage.say(f"✓ {line}"))
        variables: dict[str, str] = self.cluster.environment(names)
        for what, setting in (("events", "LOG"), ("counts", "STORE"), ("raw events", "RAW")):
            stage.say(f"{what:10} in {variables[f'TALLYMARK_{setting}']}")
        outer = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}  # of another S3
        return {**outer, "TALLYMARK_KAFKA_PROPERTIES": "none", **variables}

    def put_away(self) -> None:
        if self.ran_already:
            self.cluster.drop(self.names)
        else:
            self.cluster.down(grace=0)  # what they keep goes with the folder

    def keep(self, config: Path, stage: Stage) -> None:
        variables = {"TALLYMARK_CONFIG": str(config), **self.cluster.environment(self.names)}
        wanted = {name: value for name, value in variables.items() if name.startswith(("AWS_", "TALLYMARK_CONFIG"))}
        file = self.home / "environment.sh"
        file.touch(mode=0o600)  # the keys of S3 are in it
        file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in wanted.items()))
        stage.say("Commands find it, and the last ones end it, with")
        stage.say(f"  source {shlex.quote(str(file))}")
        ends = "tallymark down" if self.ran_already else "tallymark down; tallymark infra down"
        stage.say(f"  tallymark status; tallymark versions; {ends}")
