"""A canary's round, over a path that a test scripts: what is wrong is found, named, and alerted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.canary.command import _EVERY, _WITHIN, DETECTED_WITHIN
from infra.canary.memory import Memory
from infra.canary.notify import alert_on_change, metrics_file, record
from infra.canary.path import _ASK_SECONDS, _SEND_SECONDS, Trouble, Window
from infra.canary.probe import EVENTS, run_round, videos_of
from tallymark.cells import SHARDS, shard_of
from tallymark.client.questions import Function
from tallymark.client.wire import Answer, Coverage
from tallymark.documents.canary import CANARY_PREFIX, CanaryRound, read_rounds
from tallymark.event import Event, decode, encode
from tallymark.instants import instant
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support.webhooks import webhook

START = datetime(2026, 2, 1, 12, 0, 10, tzinfo=UTC)
WITHIN = timedelta(seconds=5)


@dataclass
class ScriptedPath:
    """Counts what is sent; `copies`: how often each event is counted; `exact_before`: hours before it are recounted."""

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    copies: int = 1
    exact_before: int = 0
    broken: Trouble | None = None

    def send(self, events: Sequence[Event]) -> None:
        if self.broken and self.broken.part == "gateway":
            raise self.broken
        for event in events:
            assert decode(encode(event)) == event
            self.counts[event.video_id, event.occurred_at // 60_000] += self.copies

    def ask(self, windows: Sequence[Window]) -> list[Answer]:
        if self.broken and self.broken.part == "api":
            raise self.broken
        return [self._counted(window) for window in windows]

    def _counted(self, window: Window) -> Answer:
        value = sum(self.counts[window.video_id, minute] for minute in range(window.start, window.end))
        return Answer(
            video_id=window.video_id,
            type="canary",
            function=Function.COUNT,
            start=instant(window.start),
            end=instant(window.end),
            value=value,
            lower=value,
            upper=value,
            exact=window.end <= self.exact_before,
            exact_until=START,
            version=1,
            epoch=1,
            freshness_ms=300,
            late_pending=0,
            degraded=(),
            coverage=Coverage(),
        )


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def rounds(path: ScriptedPath, count: int, memory: Memory | None = None, *, after: int = 0) -> CanaryRound:
    """A round a minute; the last one's findings."""
    memory = memory or Memory()
    clock = Clock()
    for n in range(after, after + count):
        at = START + timedelta(minutes=n)
        found = run_round(path, memory, name="t", within=WITHIN, now=lambda: at, clock=clock, sleep=clock.sleep)  # noqa: B023
    return found


def test_the_videos_lie_in_all_shards_and_can_be_told_from_others() -> None:
    videos = videos_of("t")
    assert [shard_of(video) for video in videos] == list(range(SHARDS))
    assert all(video.startswith(CANARY_PREFIX) for video in videos)


def test_four_rounds_pass_through_every_shard_and_all_is_well() -> None:
    path = ScriptedPath()
    found = rounds(path, 4)
    assert found.well
    assert (found.sent, found.missing, found.latency_ms, found.freshness_ms) == (EVENTS, 0, 500, 300)
    assert {shard_of(video) for video, _ in path.counts} == set(range(SHARDS))


def test_what_is_not_counted_in_time_is_the_speed_layers() -> None:
    found = rounds(ScriptedPath(copies=0), 1)
    assert (found.part, found.missing, found.latency_ms) == ("speed", EVENTS, None)
    assert "20 of 20 events are not counted 5 s after" in str(found.trouble)


def test_what_is_counted_twice_is_found() -> None:
    found = rounds(ScriptedPath(copies=2), 1)
    assert (found.part, found.duplicated) == ("count", EVENTS)


@pytest.mark.parametrize("part", ["gateway", "api"])
def test_a_part_that_does_not_answer_is_named(part: str) -> None:
    found = rounds(ScriptedPath(broken=Trouble(part, "cannot be reached")), 1)
    assert (found.part, found.trouble) == (part, "cannot be reached")


def test_an_acknowledged_event_that_a_recount_does_not_have_is_lost() -> None:
    path, memory = ScriptedPath(), Memory()
    rounds(path, 120, memory)  # the first hour is not judged: an earlier life may have sent in it
    path.exact_before = 1 << 40
    lost = next(key for key in sorted(path.counts) if key[1] * 60 > START.timestamp() + 3600)
    path.counts[lost] -= 2
    found = [rounds(path, 1, memory, after=120 + n) for n in range(8)]
    assert sum(each.lost for each in found) == 2
    assert sum(each.duplicated for each in found) == 0
    assert {each.part for each in found} == {None, "recount"}


def test_events_that_may_or_may_not_have_been_taken_judge_nothing() -> None:
    path, memory = ScriptedPath(), Memory()
    rounds(path, 70, memory)
    path.broken = Trouble("gateway", "no answer in time", unsure=True)
    rounds(path, 4, memory, after=70)
    path.broken, path.exact_before = None, 1 << 40
    assert all(rounds(path, 1, memory, after=n).well for n in range(130, 138))


def test_it_remembers_over_a_restart_and_begins_anew_when_the_memory_is_lost(tmp_path: Path) -> None:
    path, memory = ScriptedPath(), Memory()
    rounds(path, 3, memory)
    memory.write(tmp_path / "run" / "canary.json")
    assert Memory.read(tmp_path / "run" / "canary.json") == memory
    assert Memory.read(tmp_path / "nothing.json") == Memory()
    (tmp_path / "half.json").write_text('{"rounds":')
    assert Memory.read(tmp_path / "half.json") == Memory()
    path.exact_before = 1 << 40
    assert all(rounds(path, 1, Memory(), after=n).well for n in range(3, 90, 20))


def test_whatever_stops_is_found_in_two_minutes() -> None:
    longest = timedelta(seconds=2 * _ASK_SECONDS + _SEND_SECONDS) + _WITHIN
    assert _EVERY + longest <= DETECTED_WITHIN


def found_at(minute: int, trouble: str | None) -> CanaryRound:
    return CanaryRound(name="t", at=START + timedelta(minutes=minute), part="api" if trouble else None, trouble=trouble)


def test_an_alert_goes_out_at_once_is_repeated_seldom_and_ends() -> None:
    memory = Memory()
    with webhook() as hook:
        settings = Settings(alert_webhook=hook.url)
        for minute in range(40):
            alert_on_change(found_at(minute, None if minute in {0, 39} else "it is down"), memory, settings)
    assert [(one["state"], one["text"]) for one in hook.posted[:1]] == [("failing", "canary t: api: it is down")]
    assert [one["state"] for one in hook.posted] == ["failing", "failing", "failing", "well"]


def test_a_webhook_that_is_down_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(alert_webhook="http://127.0.0.1:1/secret")
    alert_on_change(found_at(0, "it is down"), Memory(), settings)
    assert "did not reach http://127.0.0.1:1/…" in caplog.text
    assert "secret" not in caplog.text


def test_a_round_is_on_record_and_in_the_metrics(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    found = CanaryRound(name="t", at=START, sent=20, latency_ms=750, freshness_ms=10)
    record(found, Memory(rounds=7, total_sent=140), settings)
    store = open_store(settings)
    assert read_rounds(store) == [found]
    store.close()
    text = metrics_file(settings, "t").read_text()
    assert 'tallymark_canary_latency_seconds{canary="t"} 0.75' in text
    assert 'tallymark_canary_sent_events_total{canary="t"} 140.0' in text
    assert 'tallymark_canary_well{canary="t"} 1.0' in text
