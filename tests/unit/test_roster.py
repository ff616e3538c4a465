"""Who is expected to be heard: learnt from the last days, and nights, weekends and habits are no silence."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.audit.completeness.roster import Roster
from tests.support.strategies import quick

HOUR = 3_600_000
MINUTE = 60_000
MONDAY = 20_479 * 24 * HOUR  # 2026-01-26


def rows(instants: Iterable[int], producer: str = "player") -> pl.DataFrame:
    taken = list(instants)
    columns = {"producer_id": [producer] * len(taken), "occurred_at": taken, "appended_at": taken}
    return pl.DataFrame(columns, schema={name: pl.Int64 if "at" in name else pl.String for name in columns})


def roster(*instants: Iterable[int], producer: str = "player") -> Roster:
    found = Roster()
    for some in instants:
        found.add(rows(some, producer))
    return found


def every(step: int, start: int, end: int) -> range:
    return range(MONDAY + start, MONDAY + end, step)


def silent(of: Roster, at: int) -> list[str]:
    return [one.producer for one in of.silent(MONDAY + at)]


def test_a_producer_that_stops_is_silent_after_an_hour() -> None:
    steady = roster(every(10_000, 0, 5 * HOUR))
    assert silent(steady, 5 * HOUR + 50 * MINUTE) == []
    assert silent(steady, 6 * HOUR) == ["player"]
    (one,) = steady.silent(MONDAY + 6 * HOUR)
    assert one.heard_ms == one.occurred_ms == MONDAY + 5 * HOUR - 10_000
    assert one.expected == pytest.approx(361, abs=2)


def test_all_lives_of_a_producer_are_one() -> None:
    found = roster(every(10_000, 0, 4 * HOUR), producer="player/1-a")
    found.add(rows([MONDAY + 5 * HOUR], "player/2-b"))
    assert silent(found, 7 * HOUR) == []  # it has paused for an hour before
    assert silent(found, 7 * HOUR + 5 * MINUTE) == ["player"]


def test_one_that_was_heard_seldom_is_not_expected() -> None:
    assert silent(roster(every(10_000, 0, 2 * HOUR)), 9 * HOUR) == []
    assert silent(roster(every(HOUR, 0, 6 * HOUR)), 9 * HOUR) == []


def test_a_night_is_no_silence_and_a_morning_without_events_is() -> None:
    days = [every(10_000, (24 * day + 8) * HOUR, (24 * day + 20) * HOUR) for day in range(3)]
    found = roster(*days)
    night, late_morning = 3 * 24 + 3, 3 * 24 + 20
    assert silent(found, night * HOUR) == []
    assert silent(found, (3 * 24 + 8) * HOUR) == []
    assert silent(found, late_morning * HOUR + HOUR // 2 + 4 * HOUR) == ["player"]


def test_a_day_without_events_is_silence_by_noon_for_one_that_never_sleeps() -> None:
    found = roster(every(10_000, 0, 3 * 24 * HOUR))
    assert silent(found, (3 * 24 + 12) * HOUR) == ["player"]


def test_a_weekend_is_no_silence_once_it_is_known() -> None:
    week = [every(60_000, 24 * day * HOUR, 24 * (day + 1) * HOUR) for day in (0, 1, 2, 3, 4, 7, 8)]
    found = roster(*week)
    saturday, tuesday = 12 * 24 * HOUR, 9 * 24 * HOUR
    for day in (9, 10, 11):
        found.add(rows(every(60_000, 24 * day * HOUR, 24 * (day + 1) * HOUR)))
    found.forget(MONDAY + saturday)
    assert silent(found, saturday + 10 * HOUR) == []
    assert silent(roster(*week), tuesday + 10 * HOUR) == ["player"]


def test_one_that_sends_every_other_hour_is_not_silent_in_between() -> None:
    bursts = [every(1000, 2 * n * HOUR, 2 * n * HOUR + MINUTE) for n in range(12)]
    found = roster(*bursts)
    assert silent(found, 22 * HOUR + 3 * HOUR) == []
    assert silent(found, 22 * HOUR + 5 * HOUR) == ["player"]


def test_one_that_is_gone_for_longer_than_it_was_known_has_ended() -> None:
    found = roster(every(10_000, 0, 5 * HOUR))
    assert silent(found, 24 * HOUR) == ["player"]
    assert silent(found, 30 * HOUR) == []
    found.forget(MONDAY + 9 * 24 * HOUR)
    assert found.members == {}


def test_the_most_regular_thousand_stay() -> None:
    found = Roster()
    for hours in (1, 2):
        names = [f"p{n}" for n in range(600 * (hours - 1), 600 * hours)]
        for hour in range(hours):
            at = [MONDAY + hour * HOUR] * len(names)
            found.add(pl.DataFrame({"producer_id": names, "occurred_at": at, "appended_at": at}))
    found.forget(MONDAY + HOUR)
    assert len(found.members) == 1000
    assert {f"p{n}" for n in range(600, 1200)} <= found.members.keys()


@quick
@given(st.lists(st.integers(0, 3 * 24 * 60), min_size=1, max_size=60), st.integers(1, 59))
def test_in_portions_it_learns_the_same(minutes: list[int], cut: int) -> None:
    instants = [MONDAY + minute * MINUTE for minute in minutes]
    assert roster(instants[:cut], instants[cut:]) == roster(instants)
