"""How fast a topic is read, by what a reader says it has finished: the clock is the test's."""

from __future__ import annotations

import pytest

from tests.bench.sustained import sustained


class Reader:
    """Finishes `rate` records a second, in steps of a second; before its tenth second it does half of that."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.now = 0.0

    def finished(self) -> int:
        seconds = int(self.now + 1e-6)
        return self.rate * seconds // 2 if seconds <= 10 else self.rate * (seconds - 5)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def measured(self, **much: float) -> dict[str, object]:
        return sustained(self.finished, clock=lambda: self.now, pause=self.wait, **much)  # type: ignore[arg-type]


def test_the_rate_is_that_after_the_warm_up() -> None:
    found = Reader(1000).measured(warm=5000, total=20_000, seconds=600)
    assert (found["events_per_s"], found["in_thirds"]) == (1000, [1000, 1000, 1000])


def test_a_warm_up_that_is_too_short_is_seen_in_the_thirds() -> None:
    found = Reader(1000).measured(warm=500, total=20_000, seconds=600)
    assert found["in_thirds"][0] < 700  # type: ignore[index]
    assert found["in_thirds"][2] == 1000  # type: ignore[index]


def test_the_last_twentieth_does_not_count_since_some_partitions_may_be_read_to_their_end() -> None:
    assert Reader(1000).measured(warm=5000, total=20_000, seconds=600)["measured_s"] == 14


def test_it_ends_when_there_was_time_enough() -> None:
    assert Reader(1000).measured(warm=5000, total=10**9, seconds=30)["measured_s"] == 30


def test_a_reader_that_stands_still_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError, match="0 of 20,000 records within 60 s"):
        Reader(0).measured(warm=5000, total=20_000, seconds=600, within=60)
