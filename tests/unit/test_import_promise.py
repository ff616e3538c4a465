"""Until a version has imported events, answers say so; audits and coverage know what never was in the log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from batch.audit.comparison.scope import scope
from batch.audit.completeness.check import check_arrivals
from batch.importing.mapping import Mapping, read_mapping
from serving.answers.series import series
from serving.answers.snapshot import Snapshots
from serving.answers.stitch import answer, stats
from serving.shown import answer_lines, series_lines, stats_lines
from tallymark.buckets import TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import GrainName
from tallymark.documents.imports import known_imports, merged
from tallymark.documents.publication import publish_epoch, roll_back
from tallymark.raw import RawTable
from tests.support.both_views import STALENESS
from tests.support.imports import MAP, NOW, as_file, ask, history, hourly, imported, mapped, sealing
from tests.support.recounts import LATENESS, MIDNIGHT, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return sealing(tmp_path)


@pytest.fixture
def mapping(tmp_path: Path) -> Mapping:
    return mapped(tmp_path, MAP)


def test_answers_are_not_exact_while_imported_events_are_in_no_version(
    world: World, mapping: Mapping, tmp_path: Path
) -> None:
    world.append(*history(30))
    world.recompute()
    version = world.published.version
    assert ask(world).exact
    assert imported(world, mapping, as_file(tmp_path / "h.csv", history(30, name="more"))).events == 30
    waiting = ask(world)
    assert (waiting.exact, waiting.upper, waiting.lower) == (False, None, waiting.value)
    (lack,) = waiting.degraded
    assert (lack.code, "30 imported events are in no view yet; the next recount" in lack.detail) == (
        "import_pending",
        True,
    )
    elsewhere = Question("v1", "view", Function.COUNT, TimeRange(MIDNIGHT - 900 * 1440, MIDNIGHT - 800 * 1440))
    at = Snapshots(world.store).take()
    assert answer(elsewhere, at=at, store=world.store, now=NOW, staleness=STALENESS).exact
    world.recompute()
    counted = ask(world)
    assert counted.value is not None
    assert (counted.exact, counted.value > int(waiting.value or 0)) == (True, True)
    (lack,) = ask(world, as_of=version).degraded
    assert f"version {version} was counted before an import of 30" in lack.detail
    assert "recompute" not in lack.detail
    roll_back(world.store, version, now=lambda: NOW)
    assert not ask(world).exact


def test_what_is_shown_and_each_point_say_what_is_not_exact_for_an_import(
    world: World, mapping: Mapping, tmp_path: Path
) -> None:
    start = MIDNIGHT - 400 * 1440
    world.append(*history(1), *hourly(1))
    world.recompute()
    imported(world, mapping, as_file(tmp_path / "h.csv", history(1, name="more", start=start + 130)))
    within = TimeRange(start, start + 300)
    at = Snapshots(world.store).take()
    asked: dict[str, Any] = {"at": at, "store": world.store, "now": NOW, "staleness": STALENESS}

    def lines() -> tuple[str, str, str]:
        question = Question("v0", "view", Function.COUNT, within)
        shown = (
            answer_lines(answer(question, **asked)),
            stats_lines(stats(question, **asked)),
            series_lines(series(question, GrainName.HOUR, zone=ZoneInfo("UTC"), **asked)),
        )
        first, second, third = (next(line for line in one if line.startswith("  exact")) for one in shown)
        return first, second, third

    def not_exact(start: int, grain: GrainName = GrainName.HOUR) -> list[bool]:
        question = Question("v0", "view", Function.COUNT, TimeRange(start, start + 300))
        found = series(question, grain, zone=ZoneInfo("UTC"), **asked)
        assert found.exact == all(point.exact for point in found.points)
        return [not point.exact for point in found.points]

    assert all(line.endswith(f"version {at.publication.version}, but for imported events") for line in lines())
    assert not_exact(start) == [False, False, True, False, False]
    assert not_exact(start + 120) == [True, False, False, False, False]
    assert not_exact(start + 180) == [False] * 5
    assert not_exact(start - 180) == [False] * 5
    assert not_exact(start, GrainName.DAY) == [True]
    world.recompute()
    asked["at"] = Snapshots(world.store).take()
    assert all("all of it" in line for line in lines())
    assert not_exact(start) == [False] * 5


def test_an_estimate_of_users_is_never_shown_as_exact(world: World) -> None:
    world.append(*history(30))
    world.recompute()
    question = Question("v1", "view", Function.USERS, TimeRange(MIDNIGHT - 500 * 1440, MIDNIGHT - 300 * 1440))
    at = Snapshots(world.store).take()
    found = answer(question, at=at, store=world.store, now=NOW, staleness=STALENESS)
    (line,) = (line for line in answer_lines(found) if line.startswith("  exact"))
    assert (found.exact, line.startswith("  exact   never, users are an estimate")) == (False, True)


def test_what_lies_in_hours_that_are_not_sealed_stays_pending(world: World, mapping: Mapping, tmp_path: Path) -> None:
    world.quiet = timedelta.max
    world.append(*history(5))
    imported(world, mapping, as_file(tmp_path / "h.csv", history(1, start=MIDNIGHT)))
    world.recompute()
    assert world.published.boundary <= MIDNIGHT
    (pending,) = known_imports(world.store).pending(TimeRange(MIDNIGHT, MIDNIGHT + 60), world.published)
    assert pending.spans == [(MIDNIGHT, MIDNIGHT + 60)]


def test_audits_leave_out_hours_with_imported_events(world: World, mapping: Mapping, tmp_path: Path) -> None:
    world.quiet = timedelta.max
    publish_epoch(world.store, 1)
    world.append(*hourly(4))
    imported(world, mapping, as_file(tmp_path / "h.csv", history(1, start=MIDNIGHT + 60)))
    world.recompute()
    found = scope(world.store, None, start=None, until=None)
    assert found.hours == {MIDNIGHT}
    assert found.not_compared == ["1 hours hold imported events, which the speed view never met"]


def test_coverage_is_of_what_came_through_the_log(world: World, tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MAP + 'producer_id = { constant = "old" }\nseq = "s"\n')
    imported(world, read_mapping(path), as_file(tmp_path / "h.csv", history(40)))
    found = check_arrivals(world.store, world.table, lateness=LATENESS)
    assert found is not None
    assert (found.known.share, found.known.holes, found.arrivals.roster.members) == ([], [], {})


def test_spans_are_few_and_hold_all(tmp_path: Path) -> None:
    hours = [(n * 600, n * 600 + 60) for n in range(500)]
    found = merged([*hours, (60, 600)])
    assert len(found) == 100
    assert all(any(start <= hour[0] and hour[1] <= end for start, end in found) for hour in hours)
    assert RawTable(str(tmp_path)).uri == str(tmp_path)
