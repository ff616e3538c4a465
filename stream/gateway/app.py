"""The gateway: takes events over HTTP, gives each a verdict, and answers once the log has made them durable.

Made by `create_app`, run by `tallymark gateway`. A post is read and judged on the event loop, and its events wait
there for the log; see `bodies` for what a post may hold, `verdicts` for what is said of it and `group_commit` for the
waiting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime
from importlib.metadata import version

import msgspec
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.requests import ClientDisconnect

from stream.formats.avro import SCHEMA_TEXT
from stream.gateway.bodies import inflate
from stream.gateway.group_commit import GroupCommit
from stream.gateway.metrics import GatewayMetrics
from stream.gateway.openapi import GATEWAY_DESCRIPTION, GET_SCHEMA, POST_EVENTS, add_schemas
from stream.gateway.senders import KEY_PATHS, Senders
from stream.gateway.verdicts import Terms, admit
from stream.log import EventLog
from tallymark.access.door import Door
from tallymark.access.tokens import Scope
from tallymark.client.wire import Rejection, Verdict
from tallymark.errors import LogUnavailable, MalformedEvent
from tallymark.http.access import require_tokens, token_of
from tallymark.http.problems import (
    add_probes,
    amend_openapi,
    answer_problems,
    limit_body,
    observe_requests,
    problem,
)
from tallymark.http.workers import Workers
from tallymark.instants import utc_now
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
    senders = Senders(metrics)
    writer = GroupCommit(
        log, most=settings.max_pending, most_bytes=settings.max_pending_bytes, appended=metrics.appended
    )
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

    @app.post("/v1/events", **POST_EVENTS)
    async def post_events(request: Request) -> Response:
        sender = senders.of(token_of(request))
        if wait_s := sender.wait_s():
            return _come_again(f"the token {sender.name} has sent more than it may", wait_s)
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it, and nothing was taken
        metrics.received(len(body))
        sender.sent(size=len(body))
        try:
            text = inflate(body, request.headers.get("content-encoding", "").strip().lower(), most=settings.max_body)
            judged = admit(text, request.headers, Terms.of(settings, now(), producer=sender.name))
        except MalformedEvent as error:
            return _refusal(str(error), [])
        metrics.rejected(judged.rejected)
        metrics.corrected(judged.corrected)
        sender.sent(events=len(judged.records) + len(judged.rejected))
        if not judged.records:
            first = judged.rejected[0]
            says = f"{first.field}: {first.reason}" if first.field else first.reason
            return _refusal(f"none of {len(judged.rejected)} events was accepted; the first: {says}", judged.rejected)
        if not writer.has_room(judged.records, of=sender.name):
            sender.refused("full")
            return _come_again(f"{writer.pending} events wait for the log", 1)
        await writer.append(judged.records, of=sender.name)
        verdict = Verdict(len(judged.records), tuple(judged.rejected), judged.duplicates)
        return Response(msgspec.json.encode(verdict), 202, media_type="application/json")

    answer_problems(app)
    add_probes(app, registry, missing, exposition=workers.exposition if workers else None)
    limit_body(app, settings.max_body, together=settings.max_pending_bytes)
    require_tokens(app, door, registry, needs=lambda _: Scope.SEND, key_paths=KEY_PATHS)
    observe_requests(app, registry)
    amend_openapi(app, lambda document: add_schemas(document, most=settings.max_batch))
    return app


def _come_again(why: str, seconds: int) -> Response:
    return problem(429, f"{why}; send the same again after {seconds} s", headers={"Retry-After": str(seconds)})


def _refusal(detail: str, rejected: list[Rejection]) -> Response:
    return problem(422, detail, accepted=0, rejected=msgspec.to_builtins(rejected))
