"""The system as a whole: which processes it is made of, whether it runs, and ending what a dead supervisor left."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.host.home import Home
from infra.host.java import find_java, how_to_install
from infra.host.lock import holder
from infra.host.ports import answers
from infra.host.sessions import end_session
from infra.system.child import Plan
from infra.system.state import SystemState, read_state
from tallymark.errors import ProcessError
from tallymark.settings import Settings

__all__ = ["child_environment", "clear_leftovers", "plans", "running", "tallymark_command"]


def plans(settings: Settings, *, canary: bool = False) -> tuple[Plan, ...]:
    """The processes in the order in which they end: no events come in while the rest still reads them."""
    home = Home(settings.home)
    watching = (Plan("canary", tallymark_command("canary"), lambda: True),) if canary else ()
    recounting = (Plan("keep-exact", tallymark_command("keep-exact"), lambda: True),) if settings.recount_every else ()
    return (
        *watching,
        *(_gateway(settings, worker) for worker in range(1, settings.gateway_workers + 1)),
        *recounting,
        Plan(
            "stream",
            tallymark_command("stream"),
            home.stream_ready.exists,
            prepare=lambda: home.stream_ready.unlink(missing_ok=True),
        ),
        Plan("api", tallymark_command("api"), lambda: answers(settings.api)),
    )


def _gateway(settings: Settings, worker: int) -> Plan:
    """The first one is plainly the gateway; all of them listen on its port."""
    name, which = ("gateway", ()) if worker == 1 else (f"gateway-{worker}", ("--worker", str(worker)))
    return Plan(name, tallymark_command("gateway", *which), lambda: answers(settings.gateway))


def tallymark_command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tallymark", *arguments)


def child_environment(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """What a child inherits: exactly these settings, our packages, and a Java that Spark runs on.

    Raises ProcessError when there is no such Java.
    """
    java = find_java(environment)
    if java is None or not java.supported:
        found = f"the one found is {java.version} in {java.home}" if java else "no Java was found"
        raise ProcessError(f"Spark needs Java 17 or 21, {found}; install it: {how_to_install()}")
    code = str(Path(__file__).resolve().parents[2])
    return {
        **{name: value for name, value in environment.items() if name != "TALLYMARK_CONFIG"},
        **settings.environment(),
        "JAVA_HOME": str(java.home),
        "PYTHONPATH": os.pathsep.join(filter(None, (code, environment.get("PYTHONPATH")))),
    }


def running(home: Home) -> SystemState | None:
    """The state of the supervisor that runs `home` now; None when there is none, or it has not said anything yet."""
    pid = holder(home.lock)
    state = read_state(home)
    return state if state is not None and state.supervisor == pid else None


def clear_leftovers(home: Home) -> int:
    """End what is left of processes whose supervisor is gone, and return how many that were."""
    if holder(home.lock) is not None:
        return 0
    state = read_state(home)
    if state is None:
        return 0
    ended = sum(
        end_session(process.session, home=home.root, since=state.started_at.timestamp())
        for process in state.processes
        if process.session is not None
    )
    home.state.unlink(missing_ok=True)
    return ended
