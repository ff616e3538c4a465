"""The truth, by a plain loop: what every layer must say, written so that nobody can doubt it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tallymark.buckets import Bucket, Grain, TimeRange
from tallymark.cells import CellKey
from tallymark.event import Event, identity
from tallymark.tally import Tally

MINUTE_MS = 60_000


def distinct(events: Iterable[Event]) -> list[Event]:
    """The first copy of each event, in the order of the log."""
    first: dict[tuple[str, str, int], Event] = {}
    for event in events:
        first.setdefault(identity(event), event)
    return list(first.values())


def counting(events: Iterable[Event]) -> list[Event]:
    """Those of which the first copy says nothing against it."""
    return [event for event in distinct(events) if event.not_counted is None]


def cells(events: Iterable[Event], grain: Grain) -> dict[CellKey, Tally]:
    """All cells of one grain over `events`, given in the order of the log."""
    groups: dict[CellKey, list[Event]] = defaultdict(list)
    for event in counting(events):
        bucket = Bucket.containing(event.occurred_at // MINUTE_MS, grain)
        groups[CellKey(event.video_id, event.type, bucket)].append(event)
    return {key: Tally.total(map(Tally.of, group)) for key, group in groups.items()}


def count(events: Iterable[Event], video_id: str, type: str, within: TimeRange) -> int:
    """How many events of `video_id` and `type` occurred in the minutes of `within`."""
    return sum(
        event.video_id == video_id
        and event.type == type
        and within.start <= event.occurred_at // MINUTE_MS < within.end
        for event in counting(events)
    )
