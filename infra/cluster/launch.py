"""Servers brought up side by side: all of them, or none of those that this call started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from infra.cluster.environment import Environment, run_java
from infra.cluster.probes import probe_port
from infra.cluster.servers.server import Server
from infra.host.home import Home
from infra.host.process import end, process_of, spawn
from tallymark.errors import ProcessError

__all__ = ["launch"]

READY_WITHIN: Final = 120.0
_PAUSE: Final = 0.1
_PREPARED_WITHIN: Final = 60.0


def launch(
    servers: Sequence[Server],
    environment: Environment,
    *,
    then: Mapping[str, Callable[[], None]],
    say: Callable[[str], None],
) -> None:
    """Bring up `servers`, those that run already too, and call `then` of each when it is ready.

    Raises ProcessError with the end of the log of the first that does not come up; the others are ended again, except
    what ran before.
    """
    give_up = threading.Event()
    ran = {server.name for server in servers if process_of(server.name, environment.home)}
    try:
        with ThreadPoolExecutor(len(servers), thread_name_prefix="launch") as pool:
            try:
                starts = [
                    pool.submit(_bring_up, server, environment, then=then.get(server.name), say=say, give_up=give_up)
                    for server in servers
                ]
                for start in wait(starts, return_when=FIRST_EXCEPTION).done:
                    start.result()
            except BaseException:
                give_up.set()
                raise
    except BaseException:  # Ctrl-C as well
        for server in servers:
            if server.name not in ran:
                end(server.name, environment.home, grace=0)
        raise


def _bring_up(
    server: Server,
    environment: Environment,
    *,
    then: Callable[[], None] | None,
    say: Callable[[str], None],
    give_up: threading.Event,
) -> None:
    began = time.monotonic()
    if process_of(server.name, environment.home) is None:
        _write(server)
        _prepare(server, environment)
        if server.needs is not None and not _holds(lambda: probe_port(server.needs or 0), give_up=give_up):
            raise ProcessError(f"{server.name} was not started: what it needs did not come up on port {server.needs}")
        if give_up.is_set():
            return
        spawn(
            server.name, (environment.java, *server.arguments), home=environment.home, environment=environment.variables
        )
    _wait_until_ready(server, environment, give_up)
    if then is not None and not give_up.is_set():
        then()
    if not give_up.is_set():
        say(f"{server.name} is ready on port {server.port}, {time.monotonic() - began:.1f} s")


def _write(server: Server) -> None:
    """Configurations hold keys: only their owner can read them."""
    server.folder.mkdir(parents=True, exist_ok=True)
    for name, text in server.files.items():
        path = server.folder / name
        path.touch(mode=0o600)
        path.write_text(text)


def _prepare(server: Server, environment: Environment) -> None:
    if server.preparation is None or server.preparation.makes.exists():
        return
    done = run_java(server.preparation.arguments, environment, within=_PREPARED_WITHIN)
    if done.returncode:
        raise ProcessError(f"{server.name} could not be prepared:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _wait_until_ready(server: Server, environment: Environment, give_up: threading.Event) -> None:
    def trouble() -> str | None:
        if process_of(server.name, environment.home) is None and not give_up.is_set():
            raise ProcessError(f"{server.name} ended by itself; {_end_of_log(server.name, environment.home)}")
        return server.probe()

    if not _holds(trouble, give_up=give_up) and not give_up.is_set():
        raise ProcessError(
            f"{server.name} was not ready within {READY_WITHIN:.0f} s ({server.probe()}); "
            f"{_end_of_log(server.name, environment.home)}"
        )


def _holds(trouble: Callable[[], str | None], *, give_up: threading.Event) -> bool:
    """Wait until there is no trouble; False when there still is after READY_WITHIN, or somebody gave up."""
    deadline = time.monotonic() + READY_WITHIN
    while trouble() is not None:
        if time.monotonic() > deadline or give_up.wait(_PAUSE):
            return False
    return True


def _end_of_log(name: str, home: Home) -> str:
    path: Path = home.log(name)
    return f"the end of {path}:\n{home.log_tail(name, lines=20)}"
