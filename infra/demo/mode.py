"""The two modes in which the demo's system runs: on files in its own folder, or on Kafka, HBase with Thrift, and S3."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from infra.cluster import Cluster, Names
from infra.cluster.environment import require_machine
from infra.demo.display import Display

__all__ = ["Mode", "choose_mode"]


class Mode(Protocol):
    """`home` is the folder of the demo's system; `homes` are those whose processes are the demo's, servers too."""

    @property
    def home(self) -> Path: ...
    @property
    def homes(self) -> Sequence[Path]: ...

    def clear(self) -> None:
        """End what an earlier demo left running in `home`."""

    def prepare(self, display: Display) -> dict[str, str]:
        """Start what is needed, show where, and return the environment of a system that uses it."""

    def put_away(self) -> None:
        """End what `prepare` has begun. What that kept lies in `home`, or is gone."""

    def keep(self, config: Path, display: Display) -> None:
        """Show how commands find what goes on running; `config` is a file of settings."""


@dataclass(frozen=True)
class OnFiles:
    """The log and the views are SQLite files, raw events a folder: nothing has to be started."""

    home: Path

    @property
    def homes(self) -> Sequence[Path]:
        return (self.home,)

    def clear(self) -> None: ...

    def prepare(self, display: Display) -> dict[str, str]:
        return {**os.environ, "TALLYMARK_LOG": "sqlite:", "TALLYMARK_STORE": "sqlite:", "TALLYMARK_RAW": ""}

    def put_away(self) -> None: ...

    def keep(self, config: Path, display: Display) -> None:
        display.say("Commands find it, and the last one ends it, with")
        display.say(f"  export TALLYMARK_CONFIG={config}")
        display.say("  tallymark status; tallymark versions; tallymark down")


@dataclass(frozen=True)
class OnServers:
    """`cluster` has `ran_already` when it is the user's, and then goes on afterwards.
    `names` are of this demo alone: what an earlier one left on the servers is not met again."""

    home: Path
    cluster: Cluster
    names: Names
    ran_already: bool

    @classmethod
    def choose(cls, home: Path) -> OnServers:
        """Those that `tallymark infra up` has started, if they all run, else some in the demo's own folder."""
        begun = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        names = Names(topic=f"demo-{begun}", prefix=f"demo_{begun}_", bucket=f"demo-{begun}")
        own = home / "demo-cluster"
        servers = Cluster(home).servers()
        ran_already = bool(servers) and all(process is not None for _, process in servers)
        return cls(own, Cluster(home if ran_already else own), names, ran_already)

    @property
    def homes(self) -> Sequence[Path]:
        return (self.home,) if self.ran_already else (self.home, self.cluster.home.root)

    def clear(self) -> None:
        Cluster(self.home).down(grace=0)

    def prepare(self, display: Display) -> dict[str, str]:
        names, root = self.names, self.cluster.home.root
        if self.ran_already:
            display.heading("Kafka, HBase with Thrift, and an S3 server run already")
            display.say(f"started by `tallymark infra up` in {root}; the demo uses them and lets them run")
            self.cluster.make(names)
        else:
            display.heading("Starting Kafka, HBase with Thrift, and an S3 server")
            display.say(f"each a process on this machine that listens on loopback; what they keep is in {root}")
            self.cluster.up(names=names, say=lambda line: display.say(f"✓ {line}"))
        variables = self.cluster.environment(names)
        for what, setting in (("events", "LOG"), ("counts", "STORE"), ("raw events", "RAW")):
            display.say(f"{what:10} in {variables[f'TALLYMARK_{setting}']}")
        outer = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}  # of another S3
        return {**outer, "TALLYMARK_KAFKA_PROPERTIES": "none", **variables}

    def put_away(self) -> None:
        if self.ran_already:
            self.cluster.drop(self.names)
        else:
            self.cluster.down(grace=0)  # what they keep goes with the folder

    def keep(self, config: Path, display: Display) -> None:
        variables = {"TALLYMARK_CONFIG": str(config), **self.cluster.environment(self.names)}
        wanted = {name: value for name, value in variables.items() if name.startswith(("AWS_", "TALLYMARK_CONFIG"))}
        file = self.home / "environment.sh"
        file.touch(mode=0o600)  # the keys of S3 are in it
        file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in wanted.items()))
        display.say("Commands find it, and the last ones end it, with")
        display.say(f"  source {shlex.quote(str(file))}")
        ends = "tallymark down" if self.ran_already else "tallymark down; tallymark infra down"
        display.say(f"  tallymark status; tallymark versions; {ends}")


def choose_mode(home: Path, *, cluster: bool) -> Mode:
    """In a folder of `home`. Raises ProcessError when this machine cannot run the servers."""
    if not cluster:
        return OnFiles(home / "demo")
    require_machine()
    return OnServers.choose(home)
