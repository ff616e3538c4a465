"""The calls of the API that change something: rolling back, and tokens. They take a token with the scope `operate`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from tallymark.access import tokens
from tallymark.access.tokens import LEAST_RATE, NAME_PATTERN, Rates, Scope
from tallymark.documents import publication
from tallymark.http.problems import problems
from tallymark.store import ViewStore

__all__ = ["OPERATING_PATHS", "operating_routes"]

OPERATING_PATHS: Final = ("/v1/rollback", "/v1/tokens")
_Name = Annotated[str, Query(pattern=f"^{NAME_PATTERN}$")]
_Rate = Annotated[float, Field(strict=True, ge=LEAST_RATE, le=1e12)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RollBack(_Asked):
    version: Annotated[int, Field(strict=True, ge=1, le=2**53)]


class NewToken(_Asked):
    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] = [Scope.SEND]
    browser: StrictBool = False
    events_per_s: _Rate | None = None
    bytes_per_s: _Rate | None = None
    burst_s: Annotated[float, Field(strict=True, gt=0, le=86_400)] = Rates().burst_s


def operating_routes(*, store: ViewStore, now: Callable[[], datetime]) -> APIRouter:
    """Endpoints are plain functions, which FastAPI runs in threads: a store may block."""
    router = APIRouter(prefix="/v1", tags=["operating"])

    @router.post("/rollback", summary="Publish an older version", responses=problems(400, 403, 404, 413, 422, 503))
    def roll_back(asked: RollBack) -> Response:
        """Readers see that version from the next request on; the next recompute counts on from there."""
        return _json(publication.roll_back(store, asked.version, now=now))

    @router.get("/tokens", summary="The tokens that are in force", responses=problems(403, 503))
    def list_tokens() -> Response:
        """Names, scopes and limits; never the tokens themselves."""
        known = tokens.read(store)
        return _json({"tokens": [tokens.shown(token) for token in known.tokens] if known else []})

    @router.post("/tokens", status_code=201, summary="Make a token", responses=problems(400, 403, 413, 422, 503))
    def create_token(asked: NewToken) -> Response:
        """`token` of the answer is shown this once: only its hash is kept. It is good within two seconds."""
        rates = Rates(events_per_s=asked.events_per_s, bytes_per_s=asked.bytes_per_s, burst_s=asked.burst_s)
        made = tokens.create(store, asked.name, scopes=asked.scopes, now=now(), browser=asked.browser, rates=rates)
        return _json({"token": made.text, **tokens.shown(made.token)}, 201)

    @router.delete("/tokens", summary="Revoke a token", responses=problems(403, 422, 503))
    def revoke_token(name: _Name) -> Response:
        """Nobody can use it from two seconds on. 422 when there is none of that name."""
        left = tokens.revoke(store, name)
        return _json({"revoked": name, "left": [token.name for token in left.tokens]})

    return router


def _json(answer: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")
