"""What the gateway and the API share: problem details, bearer tokens, and the probes. Imported only by the two servers.

Errors are RFC 9457 problem details (`application/problem+json`) whose `detail` says what to send instead.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.base import RequestResponseEndpoint

from tallymark.errors import InvalidQuestion, TallymarkError, Unavailable, UnknownVersion

__all__ = ["PROBLEM_JSON", "add_probes", "answer_problems", "problem", "require_token"]

PROBLEM_JSON = "application/problem+json"
_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> JSONResponse:
    """A problem details response; `members` are added beside the standard ones."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return JSONResponse(body, status, headers=headers, media_type=PROBLEM_JSON)


def answer_problems(app: FastAPI) -> None:
    """Turn every error that is raised on purpose into problem details."""

    @app.exception_handler(InvalidQuestion)
    def invalid(_: Request, error: InvalidQuestion) -> Response:
        return problem(422, error.reason, errors=[{"field": error.field, "reason": error.reason}])

    @app.exception_handler(RequestValidationError)
    def unreadable(_: Request, error: RequestValidationError) -> Response:
        errors = [{"field": ".".join(map(str, e["loc"][1:])) or "body", "reason": e["msg"]} for e in error.errors()]
        return problem(422, "; ".join(f"{e['field']}: {e['reason']}" for e in errors), errors=errors)

    @app.exception_handler(UnknownVersion)
    def unknown(_: Request, error: UnknownVersion) -> Response:
        return problem(404, str(error))

    @app.exception_handler(Unavailable)
    def unavailable(_: Request, error: Unavailable) -> Response:
        return problem(503, str(error), headers={"Retry-After": "1"})

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(TallymarkError)
    def ours(_: Request, error: TallymarkError) -> Response:
        return problem(500, str(error))


def require_token(app: FastAPI, tokens: frozenset[str]) -> None:
    """Let only requests with one of `tokens` in, except to the probes and the description. No tokens: everybody."""
    if not tokens:
        return

    @app.middleware("http")
    async def check(request: Request, call_next: RequestResponseEndpoint) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        known = any(hmac.compare_digest(given.encode(), token.encode()) for token in tokens)
        if known or request.url.path in _OPEN_PATHS:
            return await call_next(request)
        return problem(
            401,
            "send one of the configured tokens as `Authorization: Bearer …`",
            headers={"WWW-Authenticate": "Bearer"},
        )


def add_probes(app: FastAPI, registry: CollectorRegistry, missing: Callable[[], str | None]) -> None:
    """`/healthz`: the process runs. `/readyz`: `missing()` names no part that it waits for. `/metrics`: Prometheus."""

    @app.get("/healthz", tags=["probes"], summary="Is the process alive?")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz", tags=["probes"], summary="Can it do its work now?", responses={503: {"description": "Not yet."}}
    )
    def ready() -> Response:
        waiting_for = missing()
        if waiting_for is None:
            return JSONResponse({"status": "ready"})
        return problem(503, waiting_for, headers={"Retry-After": "1"})

    @app.get("/metrics", tags=["probes"], summary="Prometheus metrics", response_class=Response)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
