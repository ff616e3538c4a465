"""Whole systems for tests: a home of its own on free ports, the command as a process, and always an end."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from infra.host.program import run
from infra.system import tallymark_command
from tallymark.settings import Address, Settings

ROOT = Path(__file__).resolve().parents[2]
_OUTER = ("TALLYMARK_", "LIFELINE_FD", "COLUMNS")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def settings_in(home: Path, **changes: Any) -> Settings:
    """Settings of a system in `home`, which need not exist, on free ports; raw events are committed every second, and
    recounted when a test says so. Posts may wait, since a machine that runs tests stands still at times."""
    api, gateway, metrics = (Address("127.0.0.1", port) for port in free_ports(3))
    chosen = {
        "api": api,
        "gateway": gateway,
        "stream_metrics": metrics,
        "archive_trigger": timedelta(seconds=1),
        "recount_every": None,
        "max_wait": timedelta(minutes=1),
    }
    return Settings(home=home, **(chosen | changes))


def environment(settings: Settings) -> dict[str, str]:
    """That of this process without settings of its own, with `settings` instead."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(_OUTER)}
    return outer | settings.environment() | {"COLUMNS": "200"}


def tallymark(settings: Settings, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run the command as a process; never raises on its exit code."""
    return run(tallymark_command(*arguments), within=timeout, environment=environment(settings), folder=ROOT)


def told(settings: Settings, *arguments: str) -> Any:
    """The JSON document that a command prints with `--json`; fails with its words when it fails."""
    done = tallymark(settings, *arguments, "--json")
    assert done.returncode == 0, f"tallymark {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


@contextmanager
def running(settings: Settings) -> Iterator[Settings]:
    """A system that runs while inside."""
    try:
        told(settings, "up")
        yield settings
    finally:
        tallymark(settings, "down")


def processes_of(settings: Settings) -> list[int]:
    """All processes that were started for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TALLYMARK_HOME") == str(settings.home):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def post(address: Address, path: str, body: Any) -> tuple[int, Any]:
    return _exchange(address, "POST", path, body=json.dumps(body).encode())


def get(address: Address, path: str) -> tuple[int, Any]:
    return _exchange(address, "GET", path)


def eventually(check: Callable[[], Any], *, within: float = 60, every: float = 0.05) -> Any:
    """The first true value of `check`; fails when there is none `within` seconds. Answers that cannot be had yet count
    as none."""
    deadline = time.monotonic() + within
    while True:
        try:
            found = check()
        except (OSError, http.client.HTTPException) as error:
            found, last = None, error
        else:
            last = None
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within} s: {last or found!r}"
        time.sleep(every)


def _exchange(address: Address, method: str, path: str, *, body: bytes | None = None) -> tuple[int, Any]:
    """(status, decoded body)."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
