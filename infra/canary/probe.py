"""One round of the canary: look, send, ask until all of it is counted, and judge what earlier rounds left."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from infra.canary.memory import Memory, Seen
from infra.canary.path import Path, Trouble, Window, count_of, lacks
from tallymark.buckets import Grain
from tallymark.cells import SHARDS, shard_of
from tallymark.client import Answer
from tallymark.documents.canary import CANARY_PREFIX, CANARY_TYPE, CanaryRound
from tallymark.event import Event
from tallymark.instants import millis_of, minute_of

__all__ = ["EVENTS", "run_round", "videos_of"]

_VIDEOS: Final = 4  # of a round
_EACH: Final = 5  # events of a video
EVENTS: Final = _VIDEOS * _EACH
_FIRST_LOOK: Final = 0.5  # seconds after the acknowledgement
_PAUSE: Final = 0.25


def videos_of(name: str) -> list[str]:
    """A video for each shard: `canary:NAME:0`, `canary:NAME:3` … by shard."""
    found: dict[int, str] = {}
    for number in count():
        video = f"{CANARY_PREFIX}{name}:{number}"
        found.setdefault(shard_of(video), video)
        if len(found) == SHARDS:
            return [found[shard] for shard in range(SHARDS)]
    raise AssertionError


def run_round(
    path: Path,
    memory: Memory,
    *,
    name: str,
    within: timedelta,
    now: Callable[[], datetime],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> CanaryRound:
    """Make the next round, note it in `memory`, and return it. Events have `within` to come into answers."""
    at = now()
    if not memory.rounds:  # what an earlier life of this canary sent in this hour is not known
        memory.note_sent(Grain.HOUR.floor(minute_of(at)), dict.fromkeys(videos_of(name)))
    try:
        found = _Round(path, memory, name, at).run(within, clock, sleep)
    except Trouble as trouble:
        memory.last = None
        found = CanaryRound(name=name, at=at, part=trouble.part, trouble=str(trouble))
    memory.note_round(found)
    return found


class _Round:
    def __init__(self, path: Path, memory: Memory, name: str, at: datetime) -> None:
        self._path = path
        self._memory = memory
        self._name = name
        self._at = at
        self._minute = minute_of(at)
        first = memory.rounds % (SHARDS // _VIDEOS) * _VIDEOS
        self._videos = videos_of(name)[first : first + _VIDEOS]
        self._windows = [Window(video, self._minute, self._minute + 1) for video in self._videos]

    def run(self, within: timedelta, clock: Callable[[], float], sleep: Callable[[float], object]) -> CanaryRound:
        before, lost, duplicated = self._look()
        self._send()
        taken = clock()
        wanted = [known + _EACH for known in before]
        sleep(_FIRST_LOOK)
        while True:
            counts = self._path.ask(self._windows)
            took = clock() - taken
            missing = sum(max(0, want - (count_of(one) or 0)) for want, one in zip(wanted, counts, strict=True))
            if not missing or took >= within.total_seconds():
                break
            sleep(_PAUSE)
        extra = sum(max(0, (count_of(one) or 0) - want) for want, one in zip(wanted, counts, strict=True))
        self._memory.last = Seen(
            self._minute, dict(zip(self._videos, (count_of(one) or 0 for one in counts), strict=True))
        )
        duplicated += extra
        part, trouble = _judged(missing, lost, duplicated, within, counts)
        return CanaryRound(
            name=self._name,
            at=self._at,
            part=part,
            trouble=trouble,
            sent=EVENTS,
            missing=missing,
            lost=lost,
            duplicated=duplicated,
            latency_ms=None if missing else round(took * 1000),
            freshness_ms=counts[0].freshness_ms,
            exact_until=counts[0].exact_until,
        )

    def _look(self) -> tuple[list[int], int, int]:
        """What the videos have in this minute so far; and how many earlier events are lost, or there twice."""
        last = self._memory.last
        again = [Window(video, last.minute, last.minute + 1) for video in last.counts] if last else []
        hours = [(video, *due) for video in self._videos if (due := self._memory.unjudged(video, before=self._hour))]
        asked = self._path.ask([*self._windows, *again, *(Window(video, hour, hour + 60) for video, hour, _ in hours)])
        now, then = asked[: len(self._windows)], asked[len(self._windows) : len(self._windows) + len(again)]
        if any(count_of(one) is None for one in now):
            raise Trouble("api", "; ".join(lacks(now[0])) or "the counts of this minute are not known")
        duplicated = lost = 0
        for known, one in zip(last.counts.values() if last else (), then, strict=True):
            # the same minute may be this one, and more may have come late; it is never more than was sent
            counted = count_of(one)
            if last and last.minute != self._minute and counted is not None:
                duplicated += max(0, counted - max(known, _EACH * -(-known // _EACH)))
        for (video, hour, events), one in zip(hours, asked[len(self._windows) + len(again) :], strict=True):
            counted = count_of(one)
            if one.exact and counted is not None:
                self._memory.judged[video] = hour
                lost += max(0, events - counted)
                duplicated += max(0, counted - events)
        return [count_of(one) or 0 for one in now], lost, duplicated

    def _send(self) -> None:
        at_ms = millis_of(self._at)
        stamp = f"{self._name}-{at_ms}"
        events = [
            Event(event_id=f"{stamp}-{n}", type=CANARY_TYPE, video_id=video, occurred_at=at_ms, producer_id=self._name)
            for n, video in enumerate(video for video in self._videos for _ in range(_EACH))
        ]
        try:
            self._path.send(events)
        except Trouble as trouble:
            if trouble.unsure:
                self._memory.note_sent(self._hour, dict.fromkeys(self._videos))
            raise
        self._memory.note_sent(self._hour, dict.fromkeys(self._videos, _EACH))

    @property
    def _hour(self) -> int:
        return Grain.HOUR.floor(self._minute)


def _judged(
    missing: int, lost: int, duplicated: int, within: timedelta, counts: list[Answer]
) -> tuple[str | None, str | None]:
    """(part, trouble); None and None when all is well."""
    if missing:
        lacking = "".join(f"; {one}" for one in lacks(counts[0]))
        return (
            "speed",
            f"{missing} of {EVENTS} events are not counted {within.total_seconds():g} s after they were{lacking}",
        )
    if lost:
        return "recount", f"{lost} events that were acknowledged are not in hours that were recounted"
    if duplicated:
        return "count", f"{duplicated} events are counted twice"
    return None, None
