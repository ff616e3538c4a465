"""Letting requests in, or not: whose token may do what, as middleware of the two servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

from tallymark.access import tokens
from tallymark.access.door import Door, Refused
from tallymark.access.tokens import Token
from tallymark.http.problems import amend_openapi, problem, problems

__all__ = ["TokenNames", "require_tokens", "token_of"]

_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
_MOST_NAMES: Final = 100
_REFUSALS: Final[dict[Refused, tuple[int, str, dict[str, str]]]] = {
    Refused.UNKNOWN: (
        401,
        "send a token as `Authorization: Bearer …`; `tallymark tokens create` makes one, and commands bring the one in "
        "TALLYMARK_TOKEN",
        {"WWW-Authenticate": "Bearer"},
    ),
    Refused.SCOPE: (
        403,
        "this token is for something else; `tallymark tokens list` shows its scopes, `tallymark tokens create NAME "
        "--scope …` makes another; in the address goes a write key alone, which --browser makes",
        {},
    ),
    Refused.CLOSED: (
        403,
        "to operate takes a token, and there is none yet: `tallymark tokens create NAME --scope operate` makes one",
        {},
    ),
    Refused.NOT_READ: (
        503,
        "the tokens cannot be read yet, since the view store does not answer; send the same again",
        {"Retry-After": "2"},
    ),
}

Needs = Callable[[str], tokens.Scope]  # of a path


def token_of(request: Request) -> Token | None:
    """Whose request it is; None where nobody needs a token."""
    token: Token | None = request.scope.get("tallymark.token")
    return token


class TokenNames:
    """Names for labels of metrics: of the first hundred tokens that come, the others are `other`."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, token: Token | None) -> str:
        """`none` where nobody needs a token."""
        if token is None:
            return "none"
        if token.name not in self._known and len(self._known) >= _MOST_NAMES:
            return "other"
        self._known.add(token.name)
        return token.name


class TokenCheck:
    """Refuses requests that bring no token for what they ask, and says to all others whose they are.

    A token comes as `Authorization: Bearer …`; to `key_paths` a write key may come as `?key=` instead, and it opens no
    other.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Door,
        needs: Needs,
        open_paths: frozenset[str],
        key_paths: frozenset[str],
        seen: Counter,
    ) -> None:
        self._app = app
        self._door = door
        self._needs = needs
        self._open_paths = open_paths
        self._key_paths = key_paths
        self._seen = seen
        self._names = TokenNames()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        found = self._verdict(scope)
        if isinstance(found, Refused):
            self._seen.labels("none", found.value).inc()
            status, detail, headers = _REFUSALS[found]
            await problem(status, detail, headers=headers)(scope, receive, send)
            return
        if found is not None:
            self._seen.labels(self._names.label(found), "admitted").inc()
            bind_contextvars(token=found.name)
        scope["tallymark.token"] = found
        await self._app(scope, receive, send)

    def _verdict(self, scope: Scope) -> Token | Refused | None:
        path = scope["path"]
        takes_keys = path in self._key_paths
        given = _in_header(scope)
        key = _in_address(scope) if takes_keys and not given else b""
        found = self._door.admit(given or key, self._needs(path))
        if isinstance(found, Token) and ((found.browser and not takes_keys) or (key and not found.browser)):
            return Refused.SCOPE
        return found


def require_tokens(
    app: FastAPI,
    door: Door,
    registry: CollectorRegistry,
    *,
    needs: Needs,
    open_paths: frozenset[str] = frozenset(),
    key_paths: frozenset[str] = frozenset(),
) -> None:
    """Ask `door` about every request, but for those to the probes, the description and `open_paths`."""
    allowed = _OPEN_PATHS | open_paths
    seen = Counter(
        "tallymark_token_requests",
        "Requests by the name of their token (of at most 100, then `other`), and what became of them at the door.",
        ["token", "verdict"],
        registry=registry,
    )
    app.add_middleware(TokenCheck, door=door, needs=needs, open_paths=allowed, key_paths=key_paths, seen=seen)

    def describe(document: dict[str, Any]) -> None:
        if door.is_open:
            return
        schemes = document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        if key_paths:
            schemes["write_key"] = {"type": "apiKey", "in": "query", "name": "key"}
        for path, operations in document["paths"].items():
            for operation in operations.values() if path not in allowed else ():
                operation["security"] = [{"token": []}, *([{"write_key": []}] if path in key_paths else [])]
                for status in ("401", "403"):
                    operation["responses"].setdefault(status, problems(int(status))[int(status)])

    amend_openapi(app, describe)


def _in_header(scope: Scope) -> bytes:
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    scheme, _, token = given.partition(b" ")
    return bytes(token.strip()) if scheme.lower() == b"bearer" else b""


def _in_address(scope: Scope) -> bytes:
    if b"key=" not in scope["query_string"]:
        return b""
    return bytes(parse_qs(scope["query_string"]).get(b"key", [b""])[0])
