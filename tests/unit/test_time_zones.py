"""Any zone, range and grain: buckets are those of `zoneinfo`, each has the oracle's count, from the 1990s on."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.answers.calendar import buckets, time_zone
from serving.answers.series import series
from serving.answers.snapshot import Snapshot
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import GrainName
from tallymark.documents.publication import Publication
from tallymark.instants import instant, minute_of
from tallymark.store.sqlite import SqliteViewStore
from tests.support import both_views as views
from tests.support import local_time, oracle

ZONES = sorted(files("tzdata").joinpath("zones").read_text().split())
FIRST, LAST = (minute_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (1990, 2032))
NOW = instant(LAST)
LENGTHS = {
    GrainName.MINUTE: 1,
    GrainName.HOUR: 60,
    GrainName.DAY: 1440,
    GrainName.WEEK: 7 * 1440,
    GrainName.MONTH: 30 * 1440,
    GrainName.QUARTER: 91 * 1440,
    GrainName.YEAR: 365 * 1440,
}


class Filled:
    """Both views of 4,000 events from 1990 on, a third of them within an hour of another, and their minutes, sorted."""

    def __init__(self, store: SqliteViewStore) -> None:
        rng = random.Random(5)
        at = [rng.randrange(FIRST, LAST) for _ in range(2700)]
        at += [rng.choice(at) + rng.randrange(60) for _ in range(1300)]
        log = [views.event(minute, f"e{n}") for n, minute in enumerate(at)]
        views.fill_batch(store, log)
        views.fill_speed(store, log)
        self.store = store
        self.minutes = sorted(event.occurred_at // oracle.MINUTE_MS for event in oracle.distinct(log))

    def count(self, within: TimeRange) -> int:
        return bisect_left(self.minutes, within.end) - bisect_left(self.minutes, within.start)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    store = SqliteViewStore(tmp_path_factory.mktemp("zones") / "views.sqlite")
    yield Filled(store)
    store.close()


def counted_until(minute: int) -> Snapshot:
    boundary = instant(minute - minute % 60)
    seen = Publication(version=1, exact_until=boundary, raw_version=1, epoch=1, published_at=boundary)
    return Snapshot(publication=seen, speed_until=NOW, archive_until=NOW)


@settings(deadline=None, max_examples=2000, suppress_health_check=list(HealthCheck))
@given(
    tz=st.sampled_from(ZONES),
    grain=st.sampled_from(GrainName),
    near=st.integers(0, 3999),
    moved=st.booleans(),
    back=st.floats(0, 1),
    many=st.integers(1, 40),
    odd=st.integers(0, 59),
    sealed=st.floats(-0.2, 1.2),
)
def test_every_bucket_is_the_zones_and_has_the_count_of_the_oracle_wherever_exact_until_lies(
    filled: Filled,
    tz: str,
    grain: GrainName,
    near: int,
    moved: bool,
    back: float,
    many: int,
    odd: int,
    sealed: float,
) -> None:
    """Half of the ranges are about an event, half about an instant at which the zone's clocks are moved."""
    zone = time_zone(tz)
    moves = local_time.moves(zone, FIRST, LAST) if moved else []
    middle = moves[near % len(moves)] if moves else filled.minutes[near]
    length = LENGTHS[grain] * min(many, 5 if grain is GrainName.YEAR else 40) + odd
    start = max(FIRST, middle - round(back * length))
    within = TimeRange(start, min(start + length, LAST))
    question = Question(views.VIDEO, "view", Function.COUNT, within)
    at = counted_until(start + round(sealed * length))
    found = series(question, grain, zone=zone, at=at, store=filled.store, now=NOW, staleness=views.STALENESS)
    parts = [TimeRange(minute_of(point.start), minute_of(point.end)) for point in found.points]
    assert local_time.wrong(parts, grain, within, zone) is None
    for part, point in zip(parts, found.points, strict=True):
        assert point.value == (filled.count(part) if part.start < max(LAST, at.publication.boundary) else None)
        assert point.exact == (part.end <= at.publication.boundary)
    assert found.exact == found.points[-1].exact
    assert (found.start, found.end, found.tz) == (found.points[0].start, found.points[-1].end, tz)


@pytest.mark.parametrize("tz", ["America/St_Johns", "Asia/Gaza", "Antarctica/Casey", "Africa/Casablanca"])
def test_each_day_and_hour_of_zones_whose_rules_changed_most_is_theirs(tz: str) -> None:
    zone = time_zone(tz)
    for name, since, until in ((GrainName.DAY, 2004, 2014), (GrainName.HOUR, 2010, 2011)):
        within = TimeRange(*(minute_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (since, until)))
        assert local_time.wrong(list(buckets(name, within, zone)), name, within, zone) is None
