"""Replays: in order, at the pace of the deliveries, with resends that are the same every time."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from stream.replay.deliveries import Delivery, between, lines_of, parse
from stream.replay.report import report_of
from stream.replay.sender import Pace, Replayed, batches, replay, resend_every
from tallymark.client.courier import Courier
from tallymark.errors import TallymarkError
from tallymark.event import Event, encode
from tests.support.scripted import Reply, scripted_gateway
from tests.support.strategies import events, quick

START = 1_769_860_800_000
AT_ONCE = Pace(0)


def delivery(at_s: float, number: int = 0) -> Delivery:
    at = START + round(at_s * 1000)
    return Delivery(at, Event(event_id=f"e{number}", type="view", video_id="v", occurred_at=at))


def deliveries(*at_s: float) -> list[Delivery]:
    return [delivery(at, number) for number, at in enumerate(at_s)]


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def pace(self, speed: float) -> Pace:
        return Pace(speed, clock=self, sleep=self.sleep)


def test_as_fast_as_possible_all_batches_but_the_last_are_full() -> None:
    given_ = deliveries(*range(0, 10_000, 1000))
    assert list(batches(given_, 4, pace=AT_ONCE)) == [given_[:4], given_[4:8], given_[8:]]
    assert list(batches([], 4, pace=AT_ONCE)) == []


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40).map(sorted), st.integers(1, 5), st.floats(0.1, 100))
@quick
def test_none_is_sent_before_it_is_due_nor_much_later(at_s: list[float], size: int, speed: float) -> None:
    time = Time()
    sent: list[Delivery] = []
    for batch in batches(deliveries(*at_s), size, pace=time.pace(speed)):
        assert 0 < len(batch) <= size
        for each in batch:
            due = 100 + (each.delivered_at_ms - START - round(at_s[0] * 1000)) / 1000 / speed
            assert due - 1e-6 <= time.now <= due + 0.1 + 1e-6
        sent += batch
    assert sent == deliveries(*at_s)


def test_who_has_fallen_behind_sends_full_batches_until_it_has_caught_up() -> None:
    time = Time()
    posts = batches(deliveries(*range(20)), 5, pace=time.pace(1))
    assert len(next(posts)) == 1
    time.now += 12
    assert [len(next(posts)) for _ in range(3)] == [5, 5, 2]


def test_each_batch_is_posted_once_and_every_kth_twice_in_a_row() -> None:
    with scripted_gateway() as gateway:
        steps = list(replay(batches(deliveries(*range(10)), 2, pace=AT_ONCE), Courier(gateway.url), resend=2))
    sent = [seen.event_ids for seen in gateway.seen]
    assert sent == [["e0", "e1"], ["e2", "e3"], ["e2", "e3"], ["e4", "e5"], ["e6", "e7"], ["e6", "e7"], ["e8", "e9"]]
    assert steps[-1] == Replayed(10, 10, 0, 4, START + 9000)


def test_what_is_rejected_is_counted() -> None:
    verdict = {"accepted": 1, "rejected": [{"index": 0, "field": "value", "reason": "odd"}]}
    with scripted_gateway(Reply(202, verdict)) as gateway:
        (step,) = replay(batches(deliveries(0, 1), 2, pace=AT_ONCE), Courier(gateway.url))
    assert (step.sent, step.accepted, step.rejected) == (2, 1, 1)


@pytest.mark.parametrize(("fraction", "every"), [(0.0, None), (0.01, 100), (0.3, 3), (0.5, 2), (1.0, 1)])
def test_a_share_of_the_batches_is_every_kth(fraction: float, every: int | None) -> None:
    assert resend_every(fraction) == every


def test_between_takes_what_was_delivered_from_the_start_until_before_the_end() -> None:
    given_ = deliveries(0, 1, 2, 3)
    assert list(between(given_, START + 1000, START + 3000)) == given_[1:3]
    assert list(between(given_, None, None)) == given_


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_a_file_is_read_line_by_line(tmp_path: Path, name: str) -> None:
    given_ = [each.event for each in deliveries(0, 5, 3, 9)]
    text = b"\n\n".join(map(encode, given_))
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    read = list(parse(lines_of(str(tmp_path / name)), name))
    assert [each.event for each in read] == given_
    assert [each.delivered_at_ms - START for each in read] == [0, 5000, 5000, 9000]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(delivery(0).event) + b"\n")))
    assert [each.event for each in parse(lines_of("-"), "-")] == [delivery(0).event]


def test_a_line_that_is_no_event_is_told_by_its_number() -> None:
    lines = [encode(delivery(0).event), b"\n", b'{"event_id": "x"}\n']
    with pytest.raises(TallymarkError, match=r"events, line 3 is not an event: .*required"):
        list(parse(lines, "events"))


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(TallymarkError, match="nowhere"):
        list(lines_of(str(tmp_path / "nowhere")))
    (tmp_path / "odd.gz").write_bytes(b"not gzip")
    with pytest.raises(TallymarkError, match=r"odd\.gz"):
        list(lines_of(str(tmp_path / "odd.gz")))


@given(st.lists(events(), max_size=20))
@quick
def test_deliveries_of_a_file_never_go_back_in_time(sent: list[Event]) -> None:
    read = [each.delivered_at_ms for each in parse(map(encode, sent), "-")]
    assert read == sorted(read)


def test_progress_is_told_in_the_words_of_the_contract() -> None:
    assert asdict(report_of(Replayed(200, 199, 1, 0, START), seconds=0.5)) == {
        "sent": 200,
        "accepted": 199,
        "rejected": 1,
        "resent": 0,
        "events_per_s": 400,
        "delivered_until": "2026-01-31T12:00:00+00:00",
    }
    assert report_of(Replayed(), seconds=0).delivered_until is None
