"""kill -9 of the processes of a system that is supervised."""

from __future__ import annotations

import os
import signal

import psutil

from infra.host.home import Home
from infra.system import running
from tallymark.settings import Settings
from tests.support.systems import eventually


def pids(settings: Settings) -> dict[str, int]:
    state = running(Home(settings.home))
    assert state is not None, "the supervisor is gone"
    return {process.name: process.pid for process in state.processes if process.pid is not None and process.ready}


def jvm_of(stream: int) -> int:
    return next(child.pid for child in psutil.Process(stream).children(recursive=True) if child.name() == "java")


def kill(settings: Settings, *names: str) -> None:
    """SIGKILL to the named parts at once, when all are ready; `jvm` is the one that the stream process drives.

    Returns when the supervisor has seen that they are gone.
    """
    known = eventually(lambda: found if len(found := pids(settings)) == 3 else None, within=120)
    for name in names:
        os.kill(jvm_of(known["stream"]) if name == "jvm" else known[name], signal.SIGKILL)
    gone = {"stream" if name == "jvm" else name for name in names}
    eventually(lambda: all(pids(settings).get(name) != known[name] for name in gone), within=60)
