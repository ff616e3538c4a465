"""What pages need of the gateway: leave to send from where they are, the script that counts, and a pixel for mail.

Which pages may send is held against `Origin` here and not left to CORS, which keeps nobody from sending: a browser
posts text, and a beacon, without asking first, and only hides the answer (ADR 60).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.gateway.openapi import GET_SCRIPT
from stream.gateway.script import ETAG, SCRIPT
from stream.gateway.senders import EVENTS_PATH, PIXEL_PATH
from tallymark.http.problems import problem

__all__ = ["SCRIPT_PATH", "add_script", "event_of_pixel", "let_pages_send", "show_pixels"]

SCRIPT_PATH: Final = "/tallymark.js"
_HEADERS: Final = ("Authorization", "Content-Type", "Content-Encoding", "X-Sent-At", "X-Request-ID")
_SHOWN: Final = ("Retry-After", "X-Request-ID")
_A_DAY_S: Final = 86_400
_PIXEL: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"  # 1 × 1, transparent
)
_NOT_KEPT: Final = (
    (b"content-type", b"image/gif"),
    (b"content-length", str(len(_PIXEL)).encode()),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)


def add_script(app: FastAPI) -> None:
    """Anybody may load it, from any page: it holds no secret, and is asked for without cookies."""
    headers = {
        "ETag": ETAG,
        "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }

    @app.get(SCRIPT_PATH, **GET_SCRIPT)
    async def get_script(request: Request) -> Response:
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if ETAG in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(SCRIPT, headers=headers, media_type="text/javascript")


def event_of_pixel(request: Request, now_ms: int) -> bytes:
    """The JSON of the event that the address tells of: any of its fields but attributes. What has no id counts each
    time that it is loaded, and what has no time occurs now."""
    fields: dict[str, str | int] = {"event_id": uuid4().hex, "type": "view", "occurred_at": now_ms}
    for name, text in request.query_params.items():
        is_number = name in {"occurred_at", "value", "seq"} and text.removeprefix("-").isdecimal()
        fields[name] = int(text) if is_number and len(text) <= 20 else text
    return msgspec.json.encode(fields)


def let_pages_send(app: FastAPI, origins: frozenset[str]) -> None:
    """Answer preflights, and refuse what comes from other pages than those of `origins`, or the gateway's own."""
    app.add_middleware(_Pages, origins=origins)


def show_pixels(app: FastAPI) -> None:
    """Answer with the pixel whatever becomes of its event. To be added last."""
    app.add_middleware(_Pixels)


class _Pages:
    def __init__(self, app: ASGIApp, *, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins
        self._cors = CORSMiddleware(
            app,
            allow_origins=sorted(origins),
            allow_methods=["POST"],
            allow_headers=_HEADERS,
            expose_headers=_SHOWN,
            max_age=_A_DAY_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != EVENTS_PATH:
            await self._app(scope, receive, send)
            return
        origin = _header(scope, b"origin")
        if not origin or self._is_own(scope, origin):
            await self._app(scope, receive, send)
        elif self._origins & {origin, "*"}:
            await self._cors(scope, receive, send)
        else:
            says = f"pages of {origin[:200]} may not send; the setting `origins` of the gateway names those that may"
            await problem(403, says)(scope, receive, send)

    def _is_own(self, scope: Scope, origin: str) -> bool:
        """A page of the gateway itself, as /docs is; whoever names another host in Host than it talks to is no page."""
        return origin.partition("://")[2] == _header(scope, b"host")


class _Pixels:
    """Of HEAD, which mail filters send, nothing is counted. A refusal keeps its status and says why in X-Refused."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PIXEL_PATH:
            await self._app(scope, receive, send)
        elif scope["method"] == "HEAD":
            await Response(headers={name.decode(): text.decode() for name, text in _NOT_KEPT})(scope, receive, send)
        else:
            await self._app(scope, receive, _as_pixel(send))


def _as_pixel(send: Send) -> Callable[[Message], Awaitable[None]]:
    start: Message = {}
    body = b""

    async def shown(message: Message) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            start.update(message)
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        headers = [(name, text) for name, text in start["headers"] if name not in dict(_NOT_KEPT)]
        if start["status"] >= 400:
            headers.append((b"x-refused", _detail(body)))
        await send({**start, "headers": [*headers, *_NOT_KEPT]})
        await send({"type": "http.response.body", "body": _PIXEL})

    return shown


def _detail(body: bytes) -> bytes:
    try:
        detail = str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return b"no event"
    return detail.encode("ascii", "backslashreplace")[:1000]


def _header(scope: Scope, name: bytes) -> str:
    return next((text.decode("latin-1") for given, text in scope["headers"] if given == name), "")
