"""The circuit breaker, driven by a clock of the test."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tallymark.calls.breaker import Breaker, Circuit


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(failures=3, cool_down=2.0)
    for _ in range(3):
        breaker.start()
        breaker.failed(at)
    return breaker


def test_failures_in_a_row_open_it_and_others_do_not() -> None:
    breaker = Breaker(failures=3, cool_down=2.0)
    for works in (False, False, True, False, False):
        breaker.start()
        breaker.worked() if works else breaker.failed(0.0)
        assert breaker.lets_through(0.0)
    breaker.failed(0.0)
    assert breaker.circuit is Circuit.OPEN
    assert not breaker.lets_through(0.0)


def test_after_the_cool_down_one_probe_goes_through_and_decides() -> None:
    breaker = opened(at=10.0)
    assert [breaker.lets_through(now) for now in (10.0, 11.9, 12.0)] == [False, False, True]
    assert breaker.rests_for(11.5) == 0.5
    breaker.start()
    assert breaker.circuit is Circuit.HALF_OPEN
    assert not breaker.lets_through(12.0), "one at a time"
    breaker.failed(12.5)
    assert [breaker.lets_through(now) for now in (12.5, 14.4, 14.5)] == [False, False, True]
    breaker.start()
    breaker.worked()
    assert breaker.circuit is Circuit.CLOSED
    assert breaker.failed_in_a_row == 0


def test_late_failures_of_calls_from_before_do_not_keep_it_open_longer() -> None:
    breaker = opened(at=0.0)
    breaker.failed(1.9)
    assert breaker.lets_through(2.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=60))
def test_whatever_happens_a_server_that_works_again_is_called_again(history: list[tuple[bool, float]]) -> None:
    breaker, now = Breaker(failures=3, cool_down=2.0), 0.0
    for works, passed in history:
        now += passed
        if breaker.lets_through(now):
            breaker.start()
            breaker.worked() if works else breaker.failed(now)
    now += 2.0
    assert breaker.lets_through(now)
    breaker.start()
    breaker.worked()
    assert breaker.circuit is Circuit.CLOSED
