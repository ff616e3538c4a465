"""History straight into raw: once, however often and under whatever name; counted, and told of until it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from batch.audit.comparison.scope import scope
from batch.audit.completeness.check import check_arrivals
from batch.importing.load import Loaded, Moment, load, moment_of
from batch.importing.mapping import Mapping, read_mapping
from batch.importing.sources import find_sources
from batch.publish import rollback
from serving.answers.snapshot import Snapshots
from serving.answers.stitch import answer
from tallymark.buckets import Grain, TimeRange
from tallymark.client.questions import Function, Question
from tallymark.client.wire import Answer
from tallymark.documents.imports import known_imports, merged
from tallymark.documents.publication import publish_epoch
from tallymark.errors import ImportRefused
from tallymark.event import Event
from tallymark.instants import instant, millis_of
from tallymark.raw import IMPORTED, RawTable
from tallymark.raw.commits import ImportCommits
from tests.support import oracle
from tests.support.both_views import STALENESS
from tests.support.recounts import LATENESS, MIDNIGHT, Crash, World, assert_same, cells_at

MAP = """
[event]
event_id = "id"
type = { constant = "view" }
video_id = "v"
occurred_at = { column = "at", unit = "ms" }
value = "s"
"""
NOW = instant(MIDNIGHT + 100_000)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """It seals by the log's clock alone."""
    made = World(tmp_path, rows_at_once=500)
    made.quiet = timedelta(0)
    return made


@pytest.fixture
def mapping(tmp_path: Path) -> Mapping:
    path = tmp_path / "map.toml"
    path.write_text(MAP)
    return read_mapping(path)


def history(count: int, *, name: str = "h", start: int = MIDNIGHT - 400 * 1440) -> list[Event]:
    return [
        Event(event_id=f"{name}{n}", type="view", video_id=f"v{n % 7}", occurred_at=(start + n * 997) * 60_000, value=n)
        for n in range(count)
    ]


def hourly(count: int) -> list[Event]:
    at = range(MIDNIGHT, MIDNIGHT + count * 60, 60)
    return [Event(event_id=f"l{hour}", type="view", video_id="v", occurred_at=hour * 60_000) for hour in at]


def as_file(path: Path, events: list[Event]) -> Path:
    rows = {"id": [e.event_id for e in events], "v": [e.video_id for e in events]}
    pl.DataFrame(rows | {"at": [e.occurred_at for e in events], "s": [e.value for e in events]}).write_csv(path)
    return path


def imported(world: World, mapping: Mapping, *files: Path, **options: Any) -> Loaded:
    moment = options.pop("moment", moment_of(world.store, lateness=LATENESS, now=NOW))
    return load(
        find_sources([str(file) for file in files]),
        mapping,
        table=world.table,
        store=world.store,
        moment=moment,
        now=datetime.now(UTC),
        **options,
    )


def assert_counted(world: World, *events: Event) -> None:
    for grain in Grain:
        assert_same(cells_at(world.store, grain, world.published.version), oracle.cells(list(events), grain))


def ask(world: World, video_id: str = "v1", *, as_of: int | None = None) -> Answer:
    asked = Question(video_id, "view", Function.COUNT, TimeRange(MIDNIGHT - 500 * 1440, MIDNIGHT))
    return answer(asked, at=Snapshots(world.store).take(as_of), store=world.store, now=NOW, staleness=STALENESS)


def raw_rows(world: World) -> int:
    return sum(file.rows for file in world.table.pin().files)


def test_imported_events_are_counted_like_those_of_the_log(world: World, mapping: Mapping, tmp_path: Path) -> None:
    live = [Event(event_id="live", type="view", video_id="v1", occurred_at=(MIDNIGHT + 600) * 60_000)]
    world.append(*live)
    events = history(300)
    done = imported(world, mapping, as_file(tmp_path / "h.csv", events), portion=100)
    assert (done.events, done.commits, done.before) == (300, 2, [])
    world.recompute()
    sealed = [one for one in live if one.occurred_at // 60_000 < world.published.boundary]
    assert_counted(world, *events, *sealed)
    assert not world.recompute().published


def test_the_same_file_is_imported_once_whatever_it_is_called(world: World, mapping: Mapping, tmp_path: Path) -> None:
    first = as_file(tmp_path / "h.csv", history(50))
    second = as_file(tmp_path / "again.csv", history(50))
    assert imported(world, mapping, first, second).events == 50
    done = imported(world, mapping, second, first)
    assert (done.events, len(done.before), raw_rows(world)) == (0, 2, 50)


def test_rows_without_ids_have_the_same_ones_whenever_they_are_read(world: World, tmp_path: Path) -> None:
    def without_ids(more: str) -> Mapping:
        path = tmp_path / "m.toml"
        path.write_text(MAP.replace('event_id = "id"\n', "") + more)
        return read_mapping(path)

    events = [*history(20), *history(20)]  # rows that are alike, each an event of its own
    file = as_file(tmp_path / "h.csv", events)
    imported(world, without_ids(""), file)
    world.recompute()
    assert ask(world).value == sum(one.video_id == "v1" for one in events)
    imported(world, without_ids('user_id = "v"\n'), file)  # by another mapping, those are copies
    world.recompute()
    assert raw_rows(world) == 80
    assert ask(world).value == sum(one.video_id == "v1" for one in events)


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
@pytest.mark.parametrize("commit", [1, 2, 4])
def test_an_import_that_was_killed_goes_on_where_it_was(
    world: World, mapping: Mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, commit: int
) -> None:
    monkeypatch.setattr("batch.importing.readers._BLOCK", 1000)
    files = [as_file(tmp_path / f"{n}.csv", history(90, name=f"h{n}-")) for n in range(3)]
    real, calls = ImportCommits.add, []

    def dying(self: ImportCommits, files: Any, marks: Any, *, note: Callable[[int], None]) -> bool:
        calls.append(marks)
        if len(calls) == commit and moment == "before the commit":
            note(world.table.pin().number + 1)
            raise Crash
        made = real(self, files, marks, note=note)
        if len(calls) == commit:
            raise Crash
        return made

    monkeypatch.setattr(ImportCommits, "add", dying)
    with pytest.raises(Crash):
        imported(world, mapping, *files, portion=60)
    monkeypatch.setattr(ImportCommits, "add", real)
    before = raw_rows(world)
    done = imported(world, mapping, *files, portion=60)
    assert before + done.events == raw_rows(world) == 270
    assert (before > 0) == (commit > 1 or moment == "after the commit")
    world.recompute()
    assert_counted(world, *[one for n in range(3) for one in history(90, name=f"h{n}-")])
    assert ask(world).exact


def test_of_two_imports_of_a_file_at_once_one_is_told(
    world: World, mapping: Mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = as_file(tmp_path / "h.csv", history(50))
    real = ImportCommits.add

    def overtaken(self: ImportCommits, files: Any, marks: Any, *, note: Callable[[int], None]) -> bool:
        monkeypatch.setattr(ImportCommits, "add", real)
        imported(world, mapping, file)
        return real(self, files, marks, note=note)

    monkeypatch.setattr(ImportCommits, "add", overtaken)
    with pytest.raises(ImportRefused, match="another import of the same files is under way"):
        imported(world, mapping, file)
    assert raw_rows(world) == 50


def test_of_a_live_event_and_its_imported_copy_the_one_that_was_taken_first_counts(
    world: World, mapping: Mapping, tmp_path: Path
) -> None:
    when = (MIDNIGHT - 2 * 1440) * 60_000
    before = Event(event_id="a", type="view", video_id="v1", occurred_at=when, value=1)
    world.append(before, Event(event_id="seals", type="view", video_id="x", occurred_at=MIDNIGHT * 60_000))
    copies = [Event(event_id=name, type="view", video_id="v1", occurred_at=when, value=100) for name in ("a", "b")]
    imported(world, mapping, as_file(tmp_path / "h.csv", copies))
    taken = known_imports(world.store).imports[0].taken_before
    after = Event(event_id="b", type="view", video_id="v1", occurred_at=when, value=1)
    (row,) = world.writer.append([after])
    world.writer.delete("event_id = 'b' AND log_partition = 0")
    world.commit([row._replace(appended_at=millis_of(taken))])
    world.archived_until(MIDNIGHT + 100_001)
    world.recompute()
    cells = cells_at(world.store, Grain.MONTH, world.published.version)
    assert {key.video_id: (cell.count, cell.sum) for key, cell in cells.items()}["v1"] == (2, 101)


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
    assert [lack.code for lack in waiting.degraded] == ["import_pending"]
    elsewhere = Question("v1", "view", Function.COUNT, TimeRange(MIDNIGHT - 900 * 1440, MIDNIGHT - 800 * 1440))
    at = Snapshots(world.store).take()
    assert answer(elsewhere, at=at, store=world.store, now=NOW, staleness=STALENESS).exact
    world.recompute()
    counted = ask(world)
    assert counted.value is not None
    assert (counted.exact, counted.value > int(waiting.value or 0)) == (True, True)
    assert not ask(world, as_of=version).exact
    rollback(world.store, version, now=lambda: NOW)
    assert not ask(world).exact


def test_what_lies_in_hours_that_are_not_sealed_stays_pending(world: World, mapping: Mapping, tmp_path: Path) -> None:
    world.quiet = timedelta.max
    world.append(*history(5))
    imported(world, mapping, as_file(tmp_path / "h.csv", history(1, start=MIDNIGHT)))
    world.recompute()
    assert world.published.boundary <= MIDNIGHT
    (pending,) = known_imports(world.store).pending(TimeRange(MIDNIGHT, MIDNIGHT + 60), world.published)
    assert pending.spans == [(MIDNIGHT, MIDNIGHT + 60)]


def test_what_is_no_event_stops_an_import_unless_it_is_to_be_left_out(
    world: World, mapping: Mapping, tmp_path: Path
) -> None:
    events = history(20)
    file = as_file(tmp_path / "h.csv", events)
    file.write_text(file.read_text().replace("h7,", ","))
    with pytest.raises(ImportRefused, match=r"(?s)1 rows are no events.*event_id: required, but missing.*line 9"):
        imported(world, mapping, file)
    assert known_imports(world.store).imports == ()
    done = imported(world, mapping, file, skip_refused=True)
    assert (done.events, done.refused.total()) == (19, 1)


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


def test_imported_rows_say_that_they_never_were_in_the_log(world: World, mapping: Mapping, tmp_path: Path) -> None:
    imported(world, mapping, as_file(tmp_path / "h.csv", history(30)))
    rows = pl.read_parquet([file.uri for file in world.table.pin().files], hive_partitioning=False)
    assert rows["log_partition"].unique().to_list() == [IMPORTED]
    assert rows["log_offset"].n_unique() == 30
    assert rows["appended_at"].unique().to_list() == [millis_of(NOW) - 1]


def test_an_import_takes_place_where_the_archive_has_come_to(world: World) -> None:
    world.archived_until(MIDNIGHT + 61)
    assert moment_of(world.store, lateness=timedelta(minutes=2), now=NOW) == Moment(
        instant(MIDNIGHT + 61), instant(MIDNIGHT)
    )


def test_spans_are_few_and_hold_all(tmp_path: Path) -> None:
    hours = [(n * 600, n * 600 + 60) for n in range(500)]
    found = merged([*hours, (60, 600)])
    assert len(found) == 100
    assert all(any(start <= hour[0] and hour[1] <= end for start, end in found) for hour in hours)
    assert RawTable(str(tmp_path)).uri == str(tmp_path)
