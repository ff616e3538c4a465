"""A gateway as a process of its own, for tests that need one and nothing else."""

from __future__ import annotations

import http.client
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from stream.log import open_log
from tallymark.event import Event, decode, encode
from tallymark.settings import Settings
from tests.support.systems import ROOT, environment, eventually

NDJSON = "application/x-ndjson"


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


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def views(video: str, count: int, **changes: Any) -> list[Event]:
    fields: dict[str, Any] = {"type": "view", "video_id": video, "occurred_at": now_ms()} | changes
    return [Event(event_id=str(uuid4()), **fields) for _ in range(count)]


def post(settings: Settings, body: bytes, content_type: str | None = "application/json", **headers: str) -> Answer:
    given = {"Content-Type": content_type} if content_type else {}
    return ask(settings, "POST", "/v1/events", body, headers=given | headers)


def is_problem(answer: Answer, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["status"] == status
    assert problem["detail"]
    return problem


def metric(settings: Settings, line: str) -> float:
    """The value of a metric, by its name and labels; 0 when it is not there yet."""
    for text in ask(settings, "GET", "/metrics").text.decode().splitlines():
        if text.startswith(f"{line} "):
            return float(text.rpartition(" ")[2])
    return 0.0


@contextmanager
def log_locked(settings: Settings) -> Iterator[None]:
    """Nobody can append while inside, as when another process writes for long."""
    connection = sqlite3.connect(settings.home / "log.sqlite", isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()
