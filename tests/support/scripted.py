"""A server on loopback that answers posts as a script says: for what a real gateway does too seldom to wait for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """`status` 0: the connection is closed instead."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012 (never changed)


class Seen(NamedTuple):
    path: str
    headers: dict[str, str]
    event_ids: list[str]
    numbers: list[int | None]


class ScriptedGateway:
    """Answers the first posts as `script` says, and accepts all events of those after it. `seen`: what was posted."""

    def __init__(self, script: Sequence[Reply] = ()) -> None:
        self._script = list(script)
        self._lock = Lock()
        self.seen: list[Seen] = []
        self.url = ""

    def answer(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            if self._script:
                return self._script.pop(0)
        return Reply(202, {"accepted": len(seen.event_ids), "rejected": []})


@contextmanager
def scripted_gateway(*script: Reply, at: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[ScriptedGateway]:
    """`at`: host and port, 0 for a free one."""
    gateway = ScriptedGateway(script)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            events = [json.loads(line) for line in body.splitlines()]
            headers = {name.lower(): value for name, value in self.headers.items()}
            ids, numbers = [event["event_id"] for event in events], [event.get("seq") for event in events]
            reply = gateway.answer(Seen(self.path, headers, ids, numbers))
            if reply.status == 0:
                self.close_connection = True
                return
            text = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(at, Handler) as server:
        server.daemon_threads = True
        gateway.url = f"http://{at[0]}:{server.server_address[1]}"
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield gateway
        finally:
            server.shutdown()
