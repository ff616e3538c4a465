"""A gateway as a process of its own, for tests that need one and nothing else."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from systems import ROOT, environment, eventually

from stream.log import open_log
from tallymark.event import Event, decode, encode
from tallymark.settings import Settings


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)


@contextmanager
def gateway_process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`tallymark gateway`, ready; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "tallymark", "gateway"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT) as process:
        try:
            eventually(lambda: process.poll() is not None or ask(settings, "GET", "/readyz").status == 200, within=60)
            assert process.poll() is None, "the gateway ended before it was ready"
            yield process
        finally:
            process.kill()


def ask(
    settings: Settings, method: str, path: str, body: bytes | None = None, *, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(settings.gateway.host, settings.gateway.port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def send(settings: Settings, events: Sequence[Event], **headers: str) -> Answer:
    """Post `events` as an array."""
    body = b"[" + b",".join(map(encode, events)) + b"]"
    return ask(settings, "POST", "/v1/events", body, headers={"Content-Type": "application/json", **headers})


def logged(settings: Settings) -> list[Event]:
    """All events in the log, in its order."""
    log = open_log(settings)
    try:
        return [decode(record.value) for record in log.read({}, log.horizon().positions)]
    finally:
        log.close()
