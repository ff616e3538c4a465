"""What an event is made of, and the limits of each field."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tallymark.instants import HOUR_MS, Millis

__all__ = [
    "EARLIEST_MS",
    "ID_PATTERN",
    "LATEST_MS",
    "MAX_ATTRIBUTE",
    "MAX_ATTRIBUTES",
    "MAX_CLOCK_AHEAD_MS",
    "MAX_EVENT_ID",
    "MAX_ID",
    "MAX_VALUE",
    "TYPE_PATTERN",
    "Event",
    "encode",
    "identity",
    "is_type",
    "trouble_with_attributes",
    "trouble_with_id",
    "trouble_with_type",
]

MAX_EVENT_ID: Final = 64
MAX_ID: Final = 256  # Wikipedia has titles over 128
MAX_VALUE: Final = 2**40
MAX_ATTRIBUTES: Final = 16
MAX_ATTRIBUTE: Final = 128  # characters of a value
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
ID_PATTERN: Final = rf"^[^{_CONTROLS}]{{1,{MAX_ID}}}$"
TYPE_PATTERN: Final = r"[a-z][a-z0-9_]{0,31}"
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z: the floor of every bucket
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00:00Z: a clock that says more is broken
MAX_CLOCK_AHEAD_MS: Final = 2**42  # a century and more

_TYPE: Final = re.compile(TYPE_PATTERN)
_CONTROL: Final = re.compile(rf"[{_CONTROLS}]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that happened to a video. Made by `decode`, or by a client that then calls `encode`.

    `occurred_at` is epoch milliseconds, UTC, by the producer's clock. `value` is an integer (watched milliseconds,
    cents …) so that sums are exact in any order; |value| ≤ 2^40. `attributes` are kept with the event and counted by
    nobody yet. `clock_ahead_ms`: the clock of who sent it was ahead by so much, and `occurred_at` was set back by it
    (ADR 55); None: it is as the producer said. `not_counted`: why it is kept and not counted, in a word like a type's,
    for example `bot` (ADR 60); None: it counts.
    """

    event_id: Annotated[str, Meta(min_length=1, max_length=MAX_EVENT_ID)]
    type: str
    video_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    occurred_at: Annotated[Millis, Meta(ge=EARLIEST_MS)]
    value: Annotated[int, Meta(ge=-MAX_VALUE, le=MAX_VALUE)] = 1
    user_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    producer_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    seq: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    attributes: Annotated[
        dict[str, Annotated[str, Meta(max_length=MAX_ATTRIBUTE)]], Meta(max_length=MAX_ATTRIBUTES)
    ] = {}
    clock_ahead_ms: Annotated[int, Meta(ge=1, le=MAX_CLOCK_AHEAD_MS)] | None = None
    not_counted: str | None = None

    def __hash__(self) -> int:
        """Attributes have none."""
        return hash(self.event_id)


_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The canonical record: compact JSON, defaults left out. `decode(encode(e)) == e`."""
    return _encoder.encode(event)


def identity(event: Event) -> tuple[str, str, int]:
    """What makes two events the same one: (event_id, video_id, hour since the epoch). The first copy counts (ADR 3)."""
    return event.event_id, event.video_id, event.occurred_at // HOUR_MS


@lru_cache(maxsize=1024)
def is_type(text: str) -> bool:
    return _TYPE.fullmatch(text) is not None


def trouble_with_id(text: str, longest: int = MAX_ID) -> str | None:
    """What is wrong with an id, for its maker to read; None of one that is right."""
    if not 0 < len(text) <= longest:
        return f"expected 1 to {longest} characters, got {len(text)}"
    if _SURROGATE.search(text):
        return "half of a surrogate pair is no character"
    return "control characters are not allowed" if _CONTROL.search(text) else None


def trouble_with_type(text: str, examples: str = "view or watched_time") -> str | None:
    """The same of a type, or another word of that form."""
    return None if is_type(text) else f"expected {TYPE_PATTERN}, for example {examples}"


def trouble_with_attributes(attributes: dict[str, str]) -> str | None:
    """The same of attributes."""
    if len(attributes) > MAX_ATTRIBUTES:
        return f"expected at most {MAX_ATTRIBUTES}, got {len(attributes)}"
    for name, text in attributes.items():
        if not is_type(name):
            return f"expected names like {TYPE_PATTERN}, got {name[:40]!r}"
        if len(text) > MAX_ATTRIBUTE:
            return f"{name}: expected at most {MAX_ATTRIBUTE} characters, got {len(text)}"
        if _CONTROL.search(text):
            return f"{name}: control characters are not allowed"
    return None
