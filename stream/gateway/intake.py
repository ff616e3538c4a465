"""What a request brings, judged and appended: the way that posts and pixels share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec
from fastapi import Request, Response

from stream.gateway.bots import Bots
from stream.gateway.group_commit import GroupCommit
from stream.gateway.metrics import GatewayMetrics
from stream.gateway.senders import Senders
from stream.gateway.verdicts import Terms, admit
from tallymark.client.wire import Rejection, Verdict
from tallymark.errors import MalformedEvent
from tallymark.http.access import token_of
from tallymark.http.problems import problem
from tallymark.settings import Settings

__all__ = ["Intake"]


class Intake:
    """`now` is the clock that events are held against."""

    def __init__(
        self, settings: Settings, writer: GroupCommit, metrics: GatewayMetrics, *, now: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._metrics = metrics
        self._senders: Final = Senders(metrics)
        self._bots: Final = Bots(settings.bots)
        self._now = now

    def hold_back(self, request: Request) -> Response | None:
        """The answer to who has sent more than it may."""
        sender = self._senders.of(token_of(request))
        wait_s = sender.wait_s()
        return _come_again(f"the token {sender.name} has sent more than it may", wait_s) if wait_s else None

    def received(self, request: Request, size: int) -> None:
        """So many bytes came, whatever becomes of them."""
        self._metrics.received(size)
        self._senders.of(token_of(request)).sent(size=size)

    async def take(self, request: Request, body: bytes, headers: Mapping[str, str]) -> Response:
        """Append the events in `body`, which `headers` describe, and say so once they are durable."""
        token = token_of(request)
        sender = self._senders.of(token)
        mark = self._bots.mark(request.headers.get("user-agent"), token)
        try:
            judged = admit(body, headers, Terms.of(self._settings, self._now(), producer=sender.name, mark=mark))
        except MalformedEvent as error:
            return _refusal(str(error), [])
        self._metrics.rejected(judged.rejected)
        self._metrics.corrected(judged.corrected)
        sender.sent(events=len(judged.records) + len(judged.rejected))
        if not judged.records:
            first = judged.rejected[0]
            says = f"{first.field}: {first.reason}" if first.field else first.reason
            return _refusal(f"none of {len(judged.rejected)} events was accepted; the first: {says}", judged.rejected)
        if not self._writer.has_room(judged.records, of=sender.name):
            sender.refused("full")
            return _come_again(f"{self._writer.pending} events wait for the log", 1)
        await self._writer.append(judged.records, of=sender.name)
        self._metrics.marked(len(judged.records) if mark else 0)
        verdict = Verdict(len(judged.records), tuple(judged.rejected), judged.duplicates)
        return Response(msgspec.json.encode(verdict), 202, media_type="application/json")


def _come_again(why: str, seconds: int) -> Response:
    return problem(429, f"{why}; send the same again after {seconds} s", headers={"Retry-After": str(seconds)})


def _refusal(detail: str, rejected: list[Rejection]) -> Response:
    return problem(422, detail, accepted=0, rejected=msgspec.to_builtins(rejected))
