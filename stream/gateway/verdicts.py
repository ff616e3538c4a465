"""A verdict on each event of a post: by the one rule, by the clock, and by the clock of who sent it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Self

from msgspec import structs

from stream.gateway.bodies import JSON_TYPES, NDJSON_TYPES, Post, Records, holds_more, opened, split
from tallymark.client.wire import Rejection
from tallymark.errors import MalformedEvent
from tallymark.event import (
    EARLIEST_MS,
    LATEST_MS,
    MAX_CLOCK_AHEAD_MS,
    Event,
    decode,
    decode_array,
    decode_lines,
    encode,
    identity,
)
from tallymark.instants import Millis, length_ms, millis_of
from tallymark.settings import Settings

__all__ = ["Judged", "Terms", "admit", "judge"]


class Terms(NamedTuple):
    """What a gateway takes of a sender at an instant: so many events a post, and bytes, that occurred in [earliest,
    latest]. `producer`: who is said to have made what says nothing of it; `mark`: why none of it is to be counted."""

    most: int
    most_bytes: int
    earliest_ms: int
    latest_ms: int
    now_ms: int
    producer: str | None = None
    mark: str | None = None

    @classmethod
    def of(cls, settings: Settings, now: datetime, *, producer: str | None = None, mark: str | None = None) -> Self:
        now_ms = millis_of(now)
        return cls(
            most=settings.max_batch,
            most_bytes=settings.max_body,
            earliest_ms=now_ms - length_ms(settings.max_age) if settings.max_age else EARLIEST_MS,
            latest_ms=min(LATEST_MS, now_ms + length_ms(settings.max_ahead)),
            now_ms=now_ms,
            producer=producer,
            mark=mark,
        )


class Judged(NamedTuple):
    """What to append, as (key, record), and what to refuse.

    Of the records, `duplicates` are copies of earlier ones, and `corrected` were sent by a clock that is ahead.
    """

    records: list[tuple[str, bytes]]
    rejected: list[Rejection]
    duplicates: int = 0
    corrected: int = 0


def admit(body: bytes, headers: Mapping[str, str], terms: Terms) -> Judged:
    """A verdict on each event in `body`: what `judge` makes of what `split` finds, or raises. JSON of which nothing is
    to be refused, which is what clients send, takes half the time. `headers` by names in lower case."""
    post = opened(body, headers)
    ahead_ms = _ahead_ms(post, terms)
    events = _plainly_right(post, terms, ahead_ms)
    if events is not None:
        return _judged(events, [], terms, ahead_ms)
    return judge(split(post, most=terms.most, most_bytes=terms.most_bytes), terms, ahead_ms=ahead_ms)


def judge(records: Records, terms: Terms, *, ahead_ms: int = 0) -> Judged:
    """A verdict on each record: is it an event, and did it occur when the terms allow it?

    What is accepted becomes its canonical record, with the event's id as the key. Copies are accepted too: they are
    counted once however they come, in one post or in two. `ahead_ms`: by so much the sender's clock is ahead of ours.
    """
    accepted: list[Event] = []
    rejected: list[Rejection] = []
    for index, piece in enumerate(records.pieces):
        try:
            event = decode(records.as_json(piece), latest_ms=terms.latest_ms + ahead_ms)
            accepted.append(_let_in(_set_back(event, ahead_ms) if ahead_ms else event, terms))
        except MalformedEvent as problem:
            rejected.append(Rejection(index, problem.field, problem.reason))
    return _judged(accepted, rejected, terms, ahead_ms)


def _ahead_ms(post: Post, terms: Terms) -> int:
    """By how much the sender's clock is ahead. One that is behind cannot be told from a slow network: 0."""
    ahead_ms = 0 if post.sent_at_ms is None else max(0, post.sent_at_ms - terms.now_ms)
    if ahead_ms > MAX_CLOCK_AHEAD_MS:
        raise MalformedEvent("more than a century ahead; check that the unit is ms", "sent_at")
    return ahead_ms


def _plainly_right(post: Post, terms: Terms, ahead_ms: int) -> list[Event] | None:
    """The events of an array, or of lines, of which each is to be accepted; None where that is not plain to see."""
    text, latest_ms = post.text, terms.latest_ms + ahead_ms
    if post.media_type in JSON_TYPES and text[:1] == b"[" and not holds_more(text, terms.most):
        events = decode_array(text, latest_ms=latest_ms)
    elif post.media_type in NDJSON_TYPES and text.count(b"\n") <= 2 * terms.most:
        events = decode_lines(text)
    else:
        return None
    if not events or len(events) > terms.most:
        return None
    occurred = [event.occurred_at for event in events]
    if max(occurred) > latest_ms or min(occurred) - ahead_ms < terms.earliest_ms:
        return None
    try:
        return [_set_back(event, ahead_ms) for event in events] if ahead_ms else events
    except MalformedEvent:
        return None


def _set_back(event: Event, ahead_ms: int) -> Event:
    """Whoever passed the event on may have set it back already."""
    in_all = ahead_ms + (event.clock_ahead_ms or 0)
    if in_all > MAX_CLOCK_AHEAD_MS:
        raise MalformedEvent("with the clock of who sent it, more than a century ahead", "clock_ahead_ms")
    return structs.replace(event, occurred_at=Millis(event.occurred_at - ahead_ms), clock_ahead_ms=in_all)


def _let_in(event: Event, terms: Terms) -> Event:
    if event.occurred_at < terms.earliest_ms:
        raise MalformedEvent(
            "older than this gateway takes; its setting max_age says how old is too old", "occurred_at"
        )
    return event


def _judged(events: list[Event], rejected: list[Rejection], terms: Terms, ahead_ms: int) -> Judged:
    duplicates = 0
    if len({event.event_id for event in events}) < len(events):
        duplicates = len(events) - len(set(map(identity, events)))
    if terms.producer is not None:
        for event in events:
            _sign(event, terms.producer)
    if terms.mark is not None:
        for event in events:
            if event.not_counted is None:
                structs.force_setattr(event, "not_counted", terms.mark)  # it is fresh
    records = [(event.event_id, encode(event)) for event in events]
    return Judged(records, rejected, duplicates, len(events) if ahead_ms else 0)


def _sign(event: Event, producer: str) -> None:
    """A fresh `event`. One with a number and no producer stays so: numbers of several producers are no sequence."""
    if event.producer_id is None and event.seq is None:
        structs.force_setattr(event, "producer_id", producer)
