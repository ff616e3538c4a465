"""Bounds from evidence: the quantiles, the forecast, and what an answer makes of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.audit.bounds.evidence import conformal, gather
from serving.shown import answer_lines
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function
from tallymark.documents.evidence import AGES, DOCUMENT, Evidence, Growth
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views
from tests.support.both_views import END, NOW, START, ask, event
from tests.support.strategies import quick

BOUNDARY = START + 540
FRESH = TimeRange(BOUNDARY, END)
GROWTH = Growth(reads=500, speed=[1.0, 0.5, *[0.1] * 8], batch=[0.0] * 10, above=1.0, below=0.0)
LOG = [event(START + 60 * hour, f"e{hour}-{n}") for hour in range(9) for n in range(5)] + [
    event(END - 1 - n, f"fresh-{n}") for n in range(20)
]
parts = st.lists(st.tuples(st.integers(-5, 2879), st.integers(0, 1000)), max_size=20)


def evidence(growth: Growth = GROWTH, *, made_at: datetime = NOW) -> Evidence:
    return Evidence(made_at=made_at, hours=40, needed=24, confidence=0.95, types={"view": growth})


@pytest.fixture
def store(tmp_path: Path) -> SqliteViewStore:
    store = SqliteViewStore(tmp_path / "views.sqlite")
    both_views.both_complete(store, LOG, BOUNDARY)
    return store


def test_the_quantile_is_that_of_finite_samples() -> None:
    assert conformal([float(n) for n in range(1, 40)], 0.975) == 39  # ⌈40 · 0.975⌉ = 39
    assert conformal([float(n) for n in range(1, 39)], 0.975) == float("inf")
    assert conformal([3.0, 1.0, 2.0], 0.5) == 2


@quick
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_at_least_the_stated_part_of_the_sample_keeps_to_the_quantile(scores: list[float], level: float) -> None:
    bound = conformal(scores, level)
    assert sum(score <= bound for score in scores) >= level * len(scores)


def test_a_new_score_keeps_to_the_quantile_as_often_as_stated() -> None:
    rng = random.Random(5)
    kept = sum(
        (scores := [rng.paretovariate(1.2) for _ in range(60)])[0] <= conformal(scores[1:], 0.9) for _ in range(4000)
    )
    assert kept / 4000 >= 0.89


@quick
@given(parts, parts, st.integers(0, 10**6))
def test_the_interval_holds_the_value_and_what_is_expected(
    batch: list[tuple[int, int]], speed: list[tuple[int, int]], value: int
) -> None:
    expected = GROWTH.expected(batch=batch, speed=speed)
    assert expected is not None
    assert expected >= sum(count for _, count in batch + speed) * 0.999999
    lower, upper = GROWTH.interval(value, expected)
    assert 0 <= lower <= value <= upper
    assert upper >= expected


def test_the_worked_example() -> None:
    growth = Growth(reads=500, speed=[0.1] * 10, batch=[0.0] * 10, above=1.2, below=0.0)
    expected = growth.expected(batch=[], speed=[(30, 40)])
    assert expected == pytest.approx(44)
    assert growth.interval(40, expected) == (40, 53)


def test_beyond_the_ages_of_the_evidence_nothing_is_expected_of_speed() -> None:
    assert GROWTH.expected(batch=[(AGES[-1], 5)], speed=[]) == 5
    assert GROWTH.expected(batch=[], speed=[(AGES[-1], 5)]) is None


def test_without_evidence_the_upper_bound_of_what_is_fresh_is_not_known(store: SqliteViewStore) -> None:
    found = ask(store)
    assert (found.value, found.lower, found.upper, found.confidence) == (65, 45, None, None)


def test_with_evidence_it_is_stated_with_its_confidence(store: SqliteViewStore) -> None:
    store.write_document(DOCUMENT, evidence().to_json())
    found = ask(store)
    assert found.confidence == 0.95
    assert found.value == found.lower == 65
    assert isinstance(found.upper, int)
    assert 67 <= found.upper <= 100
    assert any("in 95 of 100 cases" in line for line in answer_lines(found))
    assert both_views.ask_stats(store).upper == found.upper


def test_the_lower_bound_never_falls_below_what_was_recounted(store: SqliteViewStore) -> None:
    careful = Growth(reads=500, speed=[0.0] * 10, batch=[0.0] * 10, above=0.0, below=0.9)
    store.write_document(DOCUMENT, evidence(careful).to_json())
    assert ask(store).lower == 45
    assert ask(store, FRESH).lower == 1


@pytest.mark.parametrize("function", [one for one in Function if one is not Function.COUNT])
def test_evidence_speaks_of_counts_alone(store: SqliteViewStore, function: Function) -> None:
    store.write_document(DOCUMENT, evidence().to_json())
    assert ask(store, function=function).confidence is None


def test_exact_answers_need_no_evidence(store: SqliteViewStore) -> None:
    store.write_document(DOCUMENT, evidence().to_json())
    found = ask(store, TimeRange(START, BOUNDARY))
    assert (found.exact, found.lower, found.upper, found.confidence) == (True, 45, 45, None)


def test_evidence_says_nothing_of_answers_that_lack_something_or_of_old_ones(store: SqliteViewStore) -> None:
    store.write_document(DOCUMENT, evidence().to_json())
    assert ask(store, TimeRange(START, END + 600)).confidence is None  # in the future
    assert ask(store, as_of=1).confidence is None
    both_views.set_progress(store, "speed", NOW - timedelta(minutes=5))
    assert ask(store).confidence is None


def test_evidence_of_last_week_is_too_old(store: SqliteViewStore) -> None:
    store.write_document(DOCUMENT, evidence(made_at=NOW - timedelta(days=8)).to_json())
    assert ask(store).confidence is None


def test_of_too_few_hours_nothing_is_gathered() -> None:
    found = gather([], [], now=datetime(2026, 2, 1, tzinfo=UTC), memory=timedelta(minutes=10))
    assert (found.types, found.hours, found.needed) == ({}, 0, 24)
