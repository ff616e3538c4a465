"""History straight into raw: once, however often and under whatever name, and counted like what came by the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from batch.importing.load import Moment, moment_of
from batch.importing.mapping import Mapping
from tallymark.buckets import Grain
from tallymark.documents.imports import known_imports
from tallymark.errors import ImportRefused
from tallymark.event import Event
from tallymark.instants import instant, millis_of
from tallymark.raw import IMPORTED
from tallymark.raw.commits import ImportCommits
from tests.support.imports import (
    MAP,
    NOW,
    as_file,
    ask,
    assert_counted,
    history,
    imported,
    mapped,
    raw_rows,
    sealing,
)
from tests.support.raw_writer import RawRow
from tests.support.recounts import LATENESS, MIDNIGHT, Crash, World, cells_at


@pytest.fixture
def world(tmp_path: Path) -> World:
    return sealing(tmp_path)


@pytest.fixture
def mapping(tmp_path: Path) -> Mapping:
    return mapped(tmp_path, MAP)


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
        return mapped(tmp_path, MAP.replace('event_id = "id"\n', "") + more)

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
    taken = moment_of(world.store, lateness=LATENESS, now=NOW).taken_before
    after = Event(event_id="b", type="view", video_id="v1", occurred_at=when, value=1)
    world.commit([RawRow(after, millis_of(taken), 0, 1000)])
    imported(world, mapping, as_file(tmp_path / "h.csv", copies))
    world.archived_until(MIDNIGHT + 100_001)
    world.recompute()
    cells = cells_at(world.store, Grain.MONTH, world.published.version)
    assert {key.video_id: (cell.count, cell.sum) for key, cell in cells.items()}["v1"] == (2, 101)


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


def test_a_mended_mapping_brings_the_rest_and_another_type_all_of_it(world: World, tmp_path: Path) -> None:
    def told(kind: str) -> Mapping:
        return mapped(tmp_path, MAP.replace('event_id = "id"\n', "").replace('{ constant = "view" }', kind))

    file = as_file(tmp_path / "h.csv", history(20))
    file.write_text("\n".join(f"{line},{'k' if n == 0 else 'view' if n % 4 else 'Play'}" for n, line in
                              enumerate(file.read_text().splitlines())))  # fmt: skip
    assert imported(world, told('"k"'), file, skip_refused=True).events == 15
    mended = told('{ column = "k", values = { Play = "view" } }')
    assert imported(world, mended, file).events == 20
    imported(world, told('{ constant = "watch_time" }'), file)
    world.recompute()
    cells = cells_at(world.store, Grain.MONTH, world.published.version)
    found = Counter[str]()
    for key, cell in cells.items():
        found[key.type] += cell.count
    assert found == {"view": 20, "watch_time": 20}


def test_imported_rows_say_that_they_never_were_in_the_log(world: World, mapping: Mapping, tmp_path: Path) -> None:
    imported(world, mapping, as_file(tmp_path / "h.csv", history(30)))
    rows = pl.read_parquet([file.uri for file in world.table.pin().files], hive_partitioning=False)
    assert rows["log_partition"].unique().to_list() == [IMPORTED]
    assert rows["log_offset"].n_unique() == 30
    assert rows["appended_at"].unique().to_list() == [millis_of(NOW) - 1]


def test_attributes_are_kept_with_the_event(world: World, tmp_path: Path) -> None:
    told = MAP + 'attributes = { country = { column = "geo", values = { D = "DE" } }, device = "agent" }\n'
    file = tmp_path / "h.csv"
    rows = ["D,", ",tv", ",", f"F,{'x' * 129}"]
    at = (MIDNIGHT - 9000) * 60_000
    file.write_text("id,v,at,s,geo,agent\n" + "".join(f"e{n},v,{at},1,{row}\n" for n, row in enumerate(rows)))
    done = imported(world, mapped(tmp_path, told), file, skip_refused=True)
    assert list(done.refused) == ["attributes: device: expected at most 128 characters, got 129"]
    (made,) = world.table.pin().files
    table = pq.read_table(made.uri, partitioning=None)
    found = dict(zip(table["event_id"].to_pylist(), table["attributes"].to_pylist(), strict=True))
    assert found == {"e0": [("country", "DE")], "e1": [("device", "tv")], "e2": None}


def test_an_import_takes_place_where_the_archive_has_come_to(world: World) -> None:
    world.archived_until(MIDNIGHT + 61)
    assert moment_of(world.store, lateness=timedelta(minutes=2), now=NOW) == Moment(
        instant(MIDNIGHT + 61), instant(MIDNIGHT)
    )
