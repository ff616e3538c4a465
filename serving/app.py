"""The query API as one application: made by `create_app`, run by `tallymark api`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from prometheus_client import CollectorRegistry

from serving.examples import EXAMPLES
from serving.metrics import AnswerMetrics, watch_coverage, watch_servers, watch_system
from serving.operating import OPERATING_PATHS, operating_routes
from serving.routes import query_routes
from tallymark.access.door import Door
from tallymark.access.tokens import Scope
from tallymark.client.audits import Audits
from tallymark.client.wire import Answer, Answers, Series, Stats, Versions
from tallymark.documents import publication
from tallymark.documents.publication import Publication
from tallymark.errors import StoreUnavailable
from tallymark.http.access import require_tokens
from tallymark.http.problems import (
    add_probes,
    amend_openapi,
    answer_problems,
    limit_body,
    observe_requests,
)
from tallymark.instants import utc_now
from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["create_app"]

_DESCRIPTION: Final = """
How often something happened to a video, over any range of time, and how true the number is.

Before `exact_until` an answer is made of what was recounted from the raw events, from there on of what the speed view
saw as it happened. `exact` says that all of it was recounted and that nothing late waits; then `lower`, `value` and
`upper` are one number. Otherwise `lower` and `upper` are what can be vouched for, `null` where nothing can. What an
answer lacks is listed in `degraded`, and a number that is not known is `null`, never zero.

Times in: RFC 3339, epoch milliseconds, or dates of the time zone `tz`. Times out: RFC 3339, UTC. Ranges are aligned
outward to whole minutes; `start` and `end` of the answer say what it covers. Errors are problem details that say what
to send instead.
"""
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
)
_SHAPES: Final = (Answer, Answers, Stats, Series, Publication, Versions, Audits)


def create_app(
    settings: Settings, *, store: ViewStore, door: Door | None = None, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """The API over `store`, which stays the caller's to close. `now` is the clock that answers go by; `door` says who
    may ask and operate, by default those who bring a token of the settings."""
    registry = CollectorRegistry()
    door = door or Door(settings.tokens)
    app = FastAPI(title="Tallymark queries", version=_version(), description=_DESCRIPTION, redoc_url=None)

    def missing() -> str | None:
        try:
            publication.current(store)
        except StoreUnavailable as error:
            return str(error)
        return door.trouble

    watch_servers(registry, store)
    answer_problems(app)
    app.include_router(query_routes(settings, store=store, now=now, metrics=AnswerMetrics(registry)))
    app.include_router(operating_routes(store=store, now=now))
    watch_system(registry, store, now=now)
    watch_coverage(registry, store)
    add_probes(app, registry, missing)
    limit_body(app, settings.max_body, together=settings.max_pending_bytes)
    _show_page(app)
    require_tokens(app, door, registry, needs=_needs, open_paths=frozenset({"/"}))
    observe_requests(app, registry)
    amend_openapi(app, _describe_answers)
    return app


def _needs(path: str) -> Scope:
    return Scope.OPERATE if path.startswith(OPERATING_PATHS) else Scope.ASK


def _show_page(app: FastAPI) -> None:
    """One video's count, live, at `/`: a page that needs nothing but this API."""
    page = HTMLResponse(
        (Path(__file__).with_name("web") / "index.html").read_bytes(), headers={"Content-Security-Policy": _PAGE_POLICY}
    )

    @app.get("/", include_in_schema=False)
    async def show() -> HTMLResponse:
        return page


def _describe_answers(document: dict[str, Any]) -> None:
    """Answers are encoded by msgspec, which also describes them; FastAPI knows only what comes in."""
    _, shapes = msgspec.json.schema_components(_SHAPES, ref_template="#/components/schemas/{name}")
    for name, example in EXAMPLES.items():
        shapes[name]["examples"] = [example]
    document["components"]["schemas"].update(shapes)


def _version() -> str:
    try:
        return version("tallymark")
    except PackageNotFoundError:
        return "0"
