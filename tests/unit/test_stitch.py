"""The boundary between the views is invisible, and whatever is missing, no bound is broken: against the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from serving.answers import stitch
from serving.answers.calendar import time_zone
from serving.answers.series import series
from serving.answers.snapshot import Snapshot
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import GrainName
from tallymark.documents import publication
from tallymark.documents.publication import Publication
from tallymark.event import Event
from tallymark.instants import instant, minute_of
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support import oracle, strategies
from tests.support.both_views import (
    END,
    HOURS,
    NOW,
    STALENESS,
    START,
    VIDEO,
    codes,
)

logs = strategies.logs(START, HOURS * 60)
moments = st.integers(START - 90, END + 60)
examples = count()
ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]  # whole hours, three quarters, a half


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteViewStore]:
    made = SqliteViewStore(tmp_path_factory.mktemp("shared") / "views.sqlite")
    yield made
    made.close()


def of_its_own(log: list[Event]) -> tuple[str, list[Event]]:
    """`log` with video ids that no other example has, so that examples can share a store; and the id of VIDEO."""
    example = next(examples)
    return f"{VIDEO}-{example}", [structs.replace(e, video_id=f"{e.video_id}-{example}") for e in log]


def wherever_exact_until_lies() -> Iterator[Snapshot]:
    for boundary in range(START - 120, END + 180, 60):
        exact_until = instant(boundary)
        yield Snapshot(
            publication=Publication(
                version=1, exact_until=exact_until, raw_version=1, epoch=1, published_at=exact_until
            ),
            speed_until=NOW,
            archive_until=NOW,
        )


@strategies.quick
@given(logs, moments, moments)
def test_with_both_views_complete_every_function_is_the_oracles_wherever_exact_until_lies(
    shared: SqliteViewStore, log: list[Event], one: int, other: int
) -> None:
    video, log = of_its_own(log)
    within = TimeRange(min(one, other), max(one, other) + 1)
    true = views.truth(log, video, "view", within)
    expected: dict[Function, Any] = {f: getattr(true, f) for f in Function if f is not Function.USERS}
    expected[Function.USERS] = round(true.uniques().value)
    views.fill_batch(shared, log)
    views.fill_speed(shared, log)
    for at in wherever_exact_until_lies():
        for function in Function:
            question = Question(video, "view", function, within)
            assert (
                stitch.answer(question, at=at, store=shared, now=NOW, staleness=STALENESS).value == expected[function]
            )
        stats = stitch.stats(question, at=at, store=shared, now=NOW, staleness=STALENESS)
        shown = {function: getattr(stats, function) for function in Function}
        assert shown | {Function.USERS: stats.users.value} == expected


@strategies.quick
@given(logs, moments, moments, st.sampled_from(GrainName), st.sampled_from(ZONES))
def test_with_both_views_complete_every_point_is_the_oracles_wherever_exact_until_lies(
    shared: SqliteViewStore, log: list[Event], one: int, other: int, name: GrainName, tz: str
) -> None:
    video, log = of_its_own(log)
    question = Question(video, "view", Function.SUM, TimeRange(min(one, other), max(one, other) + 1))
    views.fill_batch(shared, log)
    views.fill_speed(shared, log)
    for at in wherever_exact_until_lies():
        found = series(question, name, zone=time_zone(tz), at=at, store=shared, now=NOW, staleness=STALENESS)
        assert (found.start, found.end) == (found.points[0].start, found.points[-1].end)
        assert found.start <= instant(question.range.start)
        assert found.end >= instant(question.range.end)
        for point in found.points:
            true = views.truth(log, video, "view", TimeRange(minute_of(point.start), minute_of(point.end)))
            # the month and the day go on after the log ends: what has not begun is not known
            begun = point.start < max(NOW, at.publication.exact_until)
            assert point.value == (true.sum if begun else None)
            assert point.exact == (point.end <= at.publication.exact_until)


@strategies.quick
@given(logs, moments, moments, st.data())
def test_whatever_is_missing_the_truth_lies_within_the_bounds_and_exact_is_true(
    shared: SqliteViewStore, log: list[Event], one: int, other: int, data: st.DataObject
) -> None:
    """Events at random are recounted, come late, are in the speed view or not yet in any; each view may be absent."""
    video, log = of_its_own(log)
    boundary = data.draw(st.integers(0, HOURS)) * 60 + START
    past = [e for e in oracle.counting(log) if e.occurred_at // 60_000 < boundary]
    late = [e for e in past if data.draw(st.booleans())]
    unseen = [e for e in oracle.counting(log) if e not in past and data.draw(st.booleans())]
    published = Publication(
        version=1,
        exact_until=instant(boundary),
        raw_version=1,
        counted_until=views.COUNTED_UNTIL,
        epoch=1,
        published_at=instant(boundary),
    )
    at = Snapshot(
        publication=data.draw(st.sampled_from([published, publication.NOTHING_PUBLISHED])),
        speed_until=data.draw(st.sampled_from([NOW, None])),
        archive_until=NOW,
    )
    counted = [e for e in oracle.counting(log) if e not in late]
    copies = [e for e in past if e not in late and data.draw(st.booleans())]  # that are counted, and came again
    views.fill_batch(shared, counted)
    views.fill_speed(shared, [e for e in counted if e not in unseen])
    if at.publication.version:
        views.set_late(shared, *late, *copies)
    else:
        views.fill_speed(shared, [e for e in oracle.counting(log) if e not in unseen])

    within = TimeRange(min(one, other), max(one, other) + 1)
    true = views.truth(log, video, "view", within)
    for function in (f for f in Function if f is not Function.USERS):
        question = Question(video, "view", function, within)
        found = stitch.answer(question, at=at, store=shared, now=NOW, staleness=STALENESS)
        truth = getattr(true, function)
        if at.speed_until is None and late:
            continue  # nobody knows of what came late; freshness_ms says since when
        if found.exact:
            assert found.lower == found.value == found.upper == truth
        if found.lower is not None:
            assert found.lower <= truth
        if found.upper is not None:
            assert truth <= found.upper
        if found.value != truth:
            assert found.degraded or found.late_pending or found.end > found.exact_until or at.speed_until is None
        if function is Function.COUNT and found.value is None:
            assert codes(found)
