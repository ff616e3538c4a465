"""A webhook on loopback, which keeps what is posted to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Webhook:
    """`posted`: the bodies so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.posted: list[dict[str, Any]] = []


@contextmanager
def webhook() -> Iterator[Webhook]:
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            hook.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        hook = Webhook(f"http://127.0.0.1:{server.server_port}/hook")
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield hook
        finally:
            server.shutdown()
