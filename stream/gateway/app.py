"""The gateway: takes events over HTTP, gives each a verdict, and answers once the log has made them durable.

Made by `create_app`, run by `tallymark gateway`. A post is read and judged on the event loop, and its events wait
there for the log; see `bodies` for what a post may hold, `verdicts` for what is said of it and `group_commit` for the
waiting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.requests import ClientDisconnect

from stream.formats.avro import SCHEMA_TEXT
from stream.gateway.bodies import inflate
from stream.gateway.browsers import SCRIPT_PATH, add_script, event_of_pixel, let_pages_send, show_pixels
from stream.gateway.group_commit import GroupCommit
from stream.gateway.intake import Intake
from stream.gateway.metrics import GatewayMetrics
from stream.gateway.openapi import GATEWAY_DESCRIPTION, GET_PIXEL, GET_SCHEMA, POST_EVENTS, add_schemas
from stream.gateway.senders import EVENTS_PATH, KEY_PATHS, PIXEL_PATH
from stream.log import EventLog
from tallymark.access.door import Door
from tallymark.access.tokens import Scope
from tallymark.errors import LogUnavailable
from tallymark.http.access import require_tokens
from tallymark.http.problems import (
    add_probes,
    amend_openapi,
    answer_problems,
    limit_body,
    observe_requests,
    refuse_late,
)
from tallymark.http.workers import Workers
from tallymark.instants import millis_of, utc_now
from tallymark.settings import Settings

__all__ = ["create_app"]


def create_app(
    settings: Settings,
    *,
    log: EventLog,
    door: Door | None = None,
    worker: int = 1,
    now: Callable[[], datetime] = utc_now,
) -> FastAPI:
    """The gateway to `log`, which stays the caller's to close. `now` is the clock that events are held against; `door`
    says who may send, by default those who bring a token of the settings; `worker`: which of `gateway_workers`."""
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    door = door or Door(settings.tokens)
    writer = GroupCommit(
        log, most=settings.max_pending, most_bytes=settings.max_pending_bytes, appended=metrics.appended
    )
    intake = Intake(settings, writer, metrics, now=now)
    workers = (
        Workers(settings.home / "run", registry, worker=worker, workers=settings.gateway_workers)
        if settings.gateway_workers > 1
        else None
    )
    metrics.watch(lambda: writer.pending, lambda: writer.pending_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with workers.telling() if workers else nullcontext():
            yield
        await writer.close()

    def missing() -> str | None:
        """A log that cannot be vouched for cannot be appended to either."""
        if door.trouble is not None:
            return door.trouble
        try:
            log.horizon()
        except LogUnavailable as error:
            return str(error)
        return None

    app = FastAPI(
        title="Tallymark gateway",
        version=version("tallymark"),
        description=GATEWAY_DESCRIPTION,
        redoc_url=None,
        lifespan=lifespan,
    )

    @app.get("/v1/schema", **GET_SCHEMA)
    def get_schema() -> Response:
        return Response(SCHEMA_TEXT, media_type="application/json")

    @app.post(EVENTS_PATH, **POST_EVENTS)
    async def post_events(request: Request) -> Response:
        if answer := intake.hold_back(request):
            return answer
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it, and nothing was taken
        intake.received(request, len(body))
        text = inflate(body, request.headers.get("content-encoding", "").strip().lower(), most=settings.max_body)
        return await intake.take(request, text, request.headers)

    @app.get(PIXEL_PATH, **GET_PIXEL)
    async def get_pixel(request: Request) -> Response:
        if answer := intake.hold_back(request):
            return answer
        event = event_of_pixel(request, millis_of(now()))
        intake.received(request, len(event))
        answer = await intake.take(request, event, {})
        return answer if answer.status_code >= 400 else Response()

    add_script(app)
    answer_problems(app)
    add_probes(app, registry, missing, exposition=workers.exposition if workers else None)
    limit_body(app, settings.max_body, together=settings.max_pending_bytes)
    require_tokens(
        app, door, registry, needs=lambda _: Scope.SEND, open_paths=frozenset({SCRIPT_PATH}), key_paths=KEY_PATHS
    )
    refuse_late(app, settings.max_wait, waited=lambda: writer.waited_s, refused=partial(metrics.turned_away, "none"))
    let_pages_send(app, settings.origins)
    observe_requests(app, registry)
    show_pixels(app)
    amend_openapi(app, lambda document: add_schemas(document, most=settings.max_batch))
    return app
