"""Middleware of the two servers, as plain ASGI: it must not cost more than the answers that it wraps.

Added by the functions of `tallymark.http.problems`; who may come in is in `access`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Final
from uuid import uuid4

from prometheus_client import Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

__all__ = ["WHOLE_AT", "BodyLimit", "Heads", "InTime", "RequestId", "Timing"]

WHOLE_AT: Final = "whole_at"
"""In the state of a request: when all of it had come, by the monotonic clock. `guard` notes it."""

_SOON: Final = {"Retry-After": "1"}
_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")


class BodyLimit:
    """Lets whoever reads a body of more than `most` bytes raise 413 instead, and 429 when the bodies of all requests
    that are not answered yet would hold more than `together`."""

    def __init__(self, app: ASGIApp, most: int, together: int) -> None:
        self._app = app
        self._most = most
        self._together = together
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            size = len(message.get("body", b""))
            taken += size
            self._held += size
            if taken > self._most:
                raise HTTPException(413, f"the body is longer than {self._most} bytes; send it in parts")
            if size and self._held > self._together and self._held > taken:
                raise HTTPException(
                    429, "too many bytes are on their way already; send the same again after a second", _SOON
                )
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= taken


class InTime:
    """Answers 429 to a post that has waited for its turn for more than `most_s`, from when all of it had come by the
    clock of `guard`; and while what was taken before has `waited` for so long. So a server that gets more than it can
    do stays quick for what it takes (ADR 61). `refused` is called for each, with "late".

    A refusal must be cheap, or a server that refuses does nothing else: it is given before anything looks at the post,
    unless its body is still coming.
    """

    def __init__(
        self, app: ASGIApp, most_s: float, waited: Callable[[], float], refused: Callable[[str], None]
    ) -> None:
        self._app = app
        self._most_s = most_s
        self._waited = waited
        self._refused = refused
        self._detail = f"posts wait for longer than {most_s:g} s; send the same again after 1 s"
        problem = {"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": self._detail}
        self._body = json.dumps(problem).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if self._is_late(scope):
            headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(self._body))]
            await send({"type": "http.response.start", "status": 429, "headers": [*headers, (b"retry-after", b"1")]})
            await send({"type": "http.response.body", "body": self._body})
            return

        async def in_time() -> Message:
            message = await receive()
            if message["type"] == "http.request" and self._is_late(scope):
                raise HTTPException(429, self._detail, _SOON)
            return message

        await self._app(scope, in_time, send)

    def _is_late(self, scope: Scope) -> bool:
        now = monotonic()
        whole_at: float = scope.get("state", {}).get(WHOLE_AT, now)
        late = max(now - whole_at, self._waited()) > self._most_s
        if late:
            self._refused("late")
        return late


class Heads:
    """Answers HEAD as GET: the server leaves out the body, since the connection still knows what was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD"
        await self._app({**scope, "method": "GET"} if is_head else scope, receive, send)


class RequestId:
    """Puts an id on each answer, X-Request-ID, and on all that is logged on the way to it (`request_id`): the one that
    the request brings, if it is plain text of at most 128 characters, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex.encode()
        # not taken off again: a request is a task of its own, and the server still logs what ends it
        bind_contextvars(request_id=request_id.decode())

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        await self._app(scope, receive, named)


class Timing:
    """Observes `seconds` (labels route, status) for each request."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what the server sends when the app raises before it answers

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, noted)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._seconds.labels(route, status).observe(perf_counter() - began)
