"""A post that has waited for too long is refused before anything looks at it; the others pass."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from tallymark.http.middleware import WHOLE_AT, InTime

MOST_S = 0.25


class App:
    def __init__(self) -> None:
        self.waited = 0.0
        self.refused: list[str] = []
        self.bodies: list[bytes] = []
        self.sent: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])

    def ask(self, method: str = "POST", *, whole_ago: float | None = 0.0, read_after: float = 0.0) -> None:
        """`whole_ago`: seconds since all of the request had come; None: its body still comes when it is looked at, and
        is read `read_after` seconds after it came."""
        state: dict[str, Any] = {} if whole_ago is None else {WHOLE_AT: monotonic() - whole_ago}

        async def receive() -> Message:
            state.setdefault(WHOLE_AT, monotonic() - read_after)
            return {"type": "http.request", "body": b"[]", "more_body": False}

        async def send(message: Message) -> None:
            self.sent.append(message)

        door = InTime(self, most_s=MOST_S, waited=lambda: self.waited, refused=self.refused.append)
        asyncio.run(door({"type": "http", "method": method, "state": state}, receive, send))


def test_a_post_that_had_to_wait_for_too_long_is_refused_unread() -> None:
    app = App()
    app.ask(whole_ago=0.3)
    start, body = app.sent
    assert start["status"] == 429
    assert (b"retry-after", b"1") in start["headers"]
    assert b"longer than 0.25 s" in body["body"]
    assert (app.bodies, app.refused) == ([], ["late"])


@pytest.mark.parametrize("whole_ago", [0.1, None])
def test_a_post_whose_turn_comes_soon_passes(whole_ago: float | None) -> None:
    app = App()
    app.ask(whole_ago=whole_ago)
    assert (app.bodies, app.refused, app.sent) == ([b"[]"], [], [])


def test_a_body_that_comes_slowly_is_nobodys_wait_but_when_it_is_there_its_turn_must_come() -> None:
    app = App()
    with pytest.raises(HTTPException) as refusal:
        app.ask(whole_ago=None, read_after=0.3)
    assert refusal.value.status_code == 429
    assert (app.bodies, app.refused) == ([], ["late"])


def test_nothing_more_is_taken_while_what_was_taken_waits_for_too_long() -> None:
    app = App()
    app.waited = 0.3
    app.ask()
    assert (app.bodies, app.refused) == ([], ["late"])


def test_probes_and_metrics_are_answered_in_any_case() -> None:
    app = App()
    app.waited = 9.0
    app.ask("GET", whole_ago=9.0)
    assert app.bodies == [b"[]"]
