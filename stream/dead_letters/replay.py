"""Dead letters that are events once they are mended are sent to the gateway, each once.

    letter ──fix──▶ event ──on record──▶ gateway ──answered──▶ on record: sent

What is sent is written down before it is sent. A replay that was killed in between is followed by one that sends
exactly that again, whatever the fix says by then; and copies of an event are counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec

from stream.dead_letters.fix import Fix
from stream.decoding import AsJson
from tallymark.client.courier import Courier
from tallymark.documents.dead_letters import DeadLetter, Place, Sent, dead_letters, note_sent, sent_letters
from tallymark.errors import MalformedEvent
from tallymark.event import Event, decode, encode
from tallymark.store import ViewStore
from tallymark.store.lease import holding

__all__ = ["Outcome", "replay", "sent_places"]

_BATCH: Final = 500
_EXAMPLES: Final = 3


@dataclass
class Outcome:
    """`sent` to the gateway now, `before` in earlier replays; `passed` over by the fix. `refused`: letters that are no
    events after it, by reason, with `places` of the first."""

    sent: int = 0
    before: int = 0
    passed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[Place]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def refuse(self, place: Place, reason: str) -> None:
        self.refused[reason] += 1
        places = self.places.setdefault(reason, [])
        if len(places) < _EXAMPLES:
            places.append(place)


def replay(
    store: ViewStore,
    courier: Courier | None,
    fix: Fix,
    *,
    now: Callable[[], datetime],
    latest_ms: int,
    as_json: AsJson = bytes,
    shown: int = 0,
) -> Outcome:
    """Send what was not sent yet. Without a courier nothing is sent, and the first `shown` events are in the outcome.

    Events occurred until `latest_ms`. `as_json`: makes JSON of a record that is none. An event that has no id is given
    one, which says where its letter lies. Raises Unavailable when the gateway does not answer, and LeaseHeld while
    another replay is at it.
    """
    done = Outcome()
    if courier is None:
        made = list(_mended(store, fix, done, latest_ms, as_json))
        done.sent = len(made)
        done.events = [event for _, event in made[:shown]]
        return done
    with holding(store, "replay of dead letters", now=now):
        for name, sent in list(sent_letters(store)):
            if not all(one.done for one in sent):
                _send(store, courier, sent, done, name=name)
        letters = _mended(store, fix, done, latest_ms, as_json)
        while batch := list(islice(letters, _BATCH)):
            sent = [Sent(*letter.place, encode(event), done=False) for letter, event in batch]
            _send(store, courier, sent, done, name=f"{now():%Y-%m-%dT%H:%M:%S.%f}")
    return done


def sent_places(store: ViewStore) -> set[Place]:
    """Of letters whose events the gateway has, or is about to be sent."""
    return {one.place for _, sent in sent_letters(store) for one in sent}


def _mended(
    store: ViewStore, fix: Fix, done: Outcome, latest_ms: int, as_json: AsJson
) -> Iterator[tuple[DeadLetter, Event]]:
    gone = sent_places(store)
    done.before += len(gone) - done.sent
    for letter in dead_letters(store):
        if letter.place in gone:
            continue
        record = fix(_readable(letter, as_json))
        if record is None:
            done.passed += 1
            continue
        try:
            event = decode(_with_id(record, letter), latest_ms=latest_ms)
        except MalformedEvent as problem:
            done.refuse(letter.place, str(problem))
            continue
        yield letter, event


def _send(store: ViewStore, courier: Courier, sent: Sequence[Sent], done: Outcome, *, name: str) -> None:
    note_sent(store, sent, name=name)
    verdict = courier.post([decode(one.event) for one in sent])
    refused = {rejection.index: rejection for rejection in verdict.rejected}
    for index, rejection in refused.items():
        done.refuse(sent[index].place, f"the gateway: {rejection.field or 'event'}: {rejection.reason}")
    kept = [Sent(*one.place, one.event, done=True) for index, one in enumerate(sent) if index not in refused]
    note_sent(store, kept, name=name)
    done.sent += len(kept)


def _readable(letter: DeadLetter, as_json: AsJson) -> DeadLetter:
    """As JSON, where it is in Avro of a schema that is known by now."""
    try:
        return msgspec.structs.replace(letter, record=as_json(letter.record))
    except MalformedEvent:
        return letter


def _with_id(record: bytes, letter: DeadLetter) -> bytes:
    """With an id, the same at every replay, if it is an object that has none."""
    try:
        fields = msgspec.json.decode(record, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return record
    if fields.get("event_id") is not None:
        return record
    return msgspec.json.encode(fields | {"event_id": f"dead-letter-{letter.log_partition}-{letter.log_offset}"})
