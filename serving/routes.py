"""The calls of the query API. Each reads the publication once, however many questions it carries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from serving.answers import Answers
from serving.audits import read_audits
from serving.metrics import AnswerMetrics
from serving.parameters import Asked, AskedAudits, AskedMany, AskedSeries
from tallymark.client import wire
from tallymark.client.questions import Function
from tallymark.documents import publication
from tallymark.documents.progress import Staleness
from tallymark.errors import InvalidQuestion
from tallymark.http.problems import problems
from tallymark.settings import Settings
from tallymark.store import ViewStore

__all__ = ["query_routes"]


def query_routes(
    settings: Settings, *, store: ViewStore, now: Callable[[], datetime], metrics: AnswerMetrics
) -> APIRouter:
    """Endpoints are plain functions, which FastAPI runs in threads: a store may block. They return finished JSON."""
    router = APIRouter(prefix="/v1", tags=["answers"], dependencies=[Depends(_plain)])
    answers = Answers(store, now=now, staleness=Staleness.of(settings))

    @router.get("/count", summary="How many events?", responses=_says("Answer", 404, 422, 503))
    def count(asked: Annotated[Asked, Query()]) -> Response:
        """The number of events of one video and type in a range of time, or since counting began."""
        with metrics.store_watched():
            instant = now()
            answer = answers.count(asked.question(Function.COUNT, now=instant), as_of=asked.as_of, now=instant)
        return _json(metrics.noted(answer))

    @router.get("/stats", summary="All functions at once", responses=_says("Stats", 404, 422, 503))
    def stats(asked: Annotated[Asked, Query()]) -> Response:
        """Count, sum, min, max and mean of the events' values, and how many different users there were."""
        with metrics.store_watched():
            instant = now()
            answer = answers.stats(asked.question(Function.COUNT, now=instant), as_of=asked.as_of, now=instant)
        return _json(metrics.noted(answer))

    @router.get("/series", summary="Bucket by bucket", responses=_says("Series", 404, 422, 503))
    def series_(asked: Annotated[AskedSeries, Query()]) -> Response:
        """One function per minute, hour, day, week, month, quarter or year of a time zone; at most 10,000 points."""
        with metrics.store_watched():
            instant = now()
            question = asked.question(asked.function, now=instant)
            answer = answers.series(question, asked.grain, zone=asked.tz, as_of=asked.as_of, now=instant)
        return _json(metrics.noted(answer))

    @router.post("/query", summary="Many questions at once", responses=_says("Answers", 400, 404, 413, 422, 503))
    def query(asked: AskedMany) -> Response:
        """Answers in the order of the questions, all of them from one publication."""
        with metrics.store_watched():
            instant = now()
            given = answers.query(asked.asked(now=instant), as_of=asked.as_of, now=instant)
        return _json(wire.Answers(tuple(map(metrics.noted, given))))

    @router.get("/publication", summary="What readers see now", responses=_says("Publication", 422, 503))
    def publication_() -> Response:
        """The version and the boundary that answers go by; version 0 before the first recount."""
        with metrics.store_watched():
            return _json(publication.current(store))

    @router.get("/versions", summary="What was published when", responses=_says("Versions", 422, 503))
    def versions() -> Response:
        """All publications in the order in which readers saw them; any of their versions can be `as_of`."""
        with metrics.store_watched():
            return _json(wire.Versions(tuple(publication.history(store))))

    @router.get("/audits", summary="What the audits found", responses=_says("Audits", 422, 503))
    def audits(asked: Annotated[AskedAudits, Query()]) -> Response:
        """The last audits, oldest first: the speed view against the recount, hour by hour, with causes."""
        with metrics.store_watched():
            return _json(read_audits(store, asked.limit))

    return router


async def _plain(request: Request) -> None:
    """Refuse what would be answered as if it were another question: bytes that are no UTF-8, a parameter given twice.

    A coroutine, so that it runs where it is and takes no second thread.
    """
    raw: bytes = request.scope["query_string"]
    if not raw.isascii() or not _is_utf8(unquote_to_bytes(raw)):
        raise InvalidQuestion("not UTF-8; percent-encode the UTF-8 bytes of each value", "query")
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if names.count(name) > 1:
            raise InvalidQuestion("given more than once; to ask several questions, POST /v1/query", name)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _says(schema: str, *errors: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {200: {"description": "The answer.", "content": content}, **problems(*errors)}
