"""What the gateway and the API share: problem details, probes, ids and times of requests.

Imported only by the two servers. Errors are RFC 9457 problem details (`application/problem+json`) whose `detail` says
what to send instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope
from structlog.contextvars import get_contextvars

from tallymark.errors import InvalidQuestion, TallymarkError, Unavailable, UnknownVersion
from tallymark.http.middleware import BodyLimit, Heads, RequestId, Timing

__all__ = [
    "PROBLEM_JSON",
    "add_probes",
    "amend_openapi",
    "answer_problems",
    "limit_body",
    "observe_requests",
    "problem",
    "problems",
]

_log = logging.getLogger(__name__)
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
PROBLEM_JSON: Final = "application/problem+json"
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details; `detail` says what to send instead.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {"field": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> JSONResponse:
    """A problem details response; `members` are added beside the standard ones."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **members}
    return JSONResponse(body, status, headers=headers, media_type=PROBLEM_JSON)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems, for its OpenAPI description."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def amend_openapi(app: FastAPI, amend: Callable[[dict[str, Any]], None]) -> None:
    """Let `amend` change the OpenAPI document, once, when it is first asked for."""
    generate = app.openapi

    def amended() -> dict[str, Any]:
        if app.openapi_schema is None:
            amend(generate())  # FastAPI keeps the very document that it returns
        return app.openapi_schema or {}

    app.openapi = amended  # type: ignore[method-assign]  # the way that FastAPI documents


def answer_problems(app: FastAPI) -> None:
    """Turn every error into problem details; those raised on purpose say what to do."""

    @app.exception_handler(InvalidQuestion)
    async def invalid(_: Request, error: InvalidQuestion) -> Response:
        return problem(422, str(error), errors=[{"field": error.field, "reason": error.reason}])

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> Response:
        errors = [{"field": ".".join(map(str, e["loc"][1:])) or "body", "reason": _reason(e)} for e in error.errors()]
        return problem(422, "; ".join(f"{e['field']}: {e['reason']}" for e in errors), errors=errors)

    @app.exception_handler(UnknownVersion)
    async def unknown(_: Request, error: UnknownVersion) -> Response:
        return problem(404, str(error))

    @app.exception_handler(Unavailable)
    async def unavailable(_: Request, error: Unavailable) -> Response:
        return problem(503, str(error), headers={"Retry-After": "1"})

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names those of one route alone
            headers["Allow"] = ", ".join(_methods(app, request))
        return problem(error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(TallymarkError)
    async def ours(_: Request, error: TallymarkError) -> Response:
        _log.error("%s", error)
        return problem(500, str(error))

    @app.exception_handler(Exception)  # Starlette raises it again once this is sent, so that it is logged
    async def unexpected(_: Request, __: Exception) -> Response:
        # this answer goes past the middleware that names the others
        request_id = get_contextvars().get("request_id", "")
        detail = f"an error in the server itself; its log says more, under request_id {request_id}"
        return problem(500, detail, headers={"X-Request-ID": request_id})

    amend_openapi(app, lambda document: _schemas(document).update(Problem=_PROBLEM))


def limit_body(app: FastAPI, most: int, *, together: int) -> None:
    """Refuse bodies of more than `most` bytes with 413, before they are held in memory; with 429 what would hold more
    than `together` bytes in all."""
    app.add_middleware(BodyLimit, most=most, together=together)


def observe_requests(app: FastAPI, registry: CollectorRegistry) -> None:
    """Give each request an id, keep `tallymark_http_request_seconds` by route and status, and answer HEAD as GET.

    To be added last, so that it sees what others refuse.
    """
    seconds = Histogram(
        "tallymark_http_request_seconds",
        "Time from the request's head to the end of its answer.",
        ["route", "status"],
        registry=registry,
        buckets=_SECONDS,
    )
    app.state.registry = registry  # whoever serves the app adds what it knows of connections
    app.add_middleware(Timing, seconds=seconds)
    app.add_middleware(RequestId)
    app.add_middleware(Heads)


def add_probes(
    app: FastAPI,
    registry: CollectorRegistry,
    missing: Callable[[], str | None],
    *,
    exposition: Callable[[], bytes] | None = None,
) -> None:
    """`/healthz`: the process runs. `/readyz`: `missing()` names no part that it waits for. `/metrics`: Prometheus;
    `exposition`: in place of what `registry` holds."""

    @app.get("/healthz", tags=["probes"], summary="Is the process alive?")
    async def health() -> dict[str, str]:  # in no thread: it must answer while all of them wait for a store
        return {"status": "ok"}

    @app.get("/readyz", tags=["probes"], summary="Can it do its work now?", responses=problems(503))
    def ready() -> Response:
        waiting_for = "it is about to end" if getattr(app.state, "ending", False) else missing()
        if waiting_for is None:
            return JSONResponse({"status": "ready"})
        return problem(503, waiting_for, headers={"Retry-After": "1"})

    @app.get(
        "/metrics",
        tags=["probes"],
        summary="Prometheus metrics",
        response_class=Response,
        responses={200: {"description": "The text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    def metrics() -> Response:
        return Response(exposition() if exposition else generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """All that may be asked of the path; HEAD where there is GET, see `Heads`."""
    found = [method for method in _METHODS if _matches(app, {**request.scope, "method": method})]
    return ["GET", "HEAD", *found[1:]] if found[:1] == ["GET"] else found


def _matches(app: FastAPI, scope: Scope) -> bool:
    return any(route.matches(scope)[0] is Match.FULL for route in app.routes)


def _schemas(document: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    return schemas


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown; nothing of that name can be given here"
    if error["type"] == "missing":
        return "required, but missing"
    return str(error["msg"]).removeprefix("Value error, ")
