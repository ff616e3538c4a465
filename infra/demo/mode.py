"""What the demo's system stands on: files in its own folder, or servers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from infra.demo.display import Stage

__all__ = ["Files", "Ground", "choose_ground"]


class Ground(Protocol):
    """`home` is the folder of the demo's system; `homes` are those whose processes are the demo's, servers too."""

    @property
    def home(self) -> Path: ...
    @property
    def homes(self) -> Sequence[Path]: ...

    def clear(self) -> None:
        """End what an earlier demo left running in `home`."""

    def prepare(self, stage: Stage) -> dict[str, str]:
        """Start what is needed, show where, and return the environment of a system that uses it."""

    def put_away(self) -> None:
        """End what `prepare` has begun. What that kept lies in `home`, or is gone."""

    def keep(self, config: Path, stage: Stage) -> None:
        """Show how commands find what goes on running; `config` is a file of settings."""


@dataclass(frozen=True)
class Files:
    """The log and the views are SQLite files, raw events a folder: nothing has to be started."""

    home: Path

    @property
    def homes(self) -> Sequence[Path]:
        return (self.home,)

    def clear(self) -> None: ...

    def prepare(self, stage: Stage) -> dict[str, str]:
        return {**os.environ, "TALLYMARK_LOG": "sqlite:", "TALLYMARK_STORE": "sqlite:", "TALLYMARK_RAW": ""}

    def put_away(self) -> None: ...

    def keep(self, config: Path, stage: Stage) -> None:
        stage.say("Commands find it, and the last one ends it, with")
        stage.say(f"  export TALLYMARK_CONFIG={config}")
        stage.say("  tallymark status; tallymark versions; tallymark down")


def choose_ground(home: Path, *, cluster: bool) -> Ground:
    """In a folder of `home`. Raises ProcessError when this machine cannot run the servers."""
    if not cluster:
        return Files(home / "demo")
    import_module("infra.cluster.machine").require_machine()  # by name, as layers are loaded
    from infra.demo.servers import Servers

    return Servers.choose(home)
