"""A raw file or an entry of the table's log that is gone, cut or overwritten is named by whatever needs it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Schema, convert_to_deltalake

from tallymark.documents.checkpoints import BegunAt, begin_checkpoint
from tallymark.documents.progress import ARCHIVE, Progress
from tallymark.errors import Damaged, NothingToRecount
from tallymark.instants import instant
from tallymark.raw.damage import damaged_files
from tallymark.raw.errors import explaining
from tests.support.damage import (
    events,
    look_for_arrivals,
    run_archive,
    run_audit,
    run_maintain,
    settings_of,
    six_commits,
)
from tests.support.recounts import MIDNIGHT, World
from tests.support.systems import tallymark

DAY, SHARD = "2026-01-31", 4
MIDNIGHT_UTC = instant(MIDNIGHT)
Harm = Callable[[Path], object]
Run = Callable[[World], object]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = six_commits(tmp_path)
    yield made
    made.store.close()


RUNS: dict[str, Run] = {
    "recompute": World.recompute,
    "audit": run_audit,
    "maintain": run_maintain,
    "arrivals": look_for_arrivals,
}
each_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_the_tail(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"\x00\xffnothing that anybody wrote here\n" * 20)


def overwrite_the_middle(path: Path) -> None:
    body = path.read_bytes()
    path.write_bytes(body[:4] + bytes(len(body) // 3) + body[4 + len(body) // 3 :])


def write_other_columns(path: Path) -> None:
    pq.write_table(pa.table({"occurred_at": ["noon"]}), path)


HARM: list[tuple[Harm, str]] = [
    (Path.unlink, "is gone"),
    (make_empty, "is empty"),
    (cut, "is cut or overwritten"),
    (overwrite, "is cut or overwritten"),
]


def data_files(world: World) -> list[Path]:
    return sorted(Path(world.writer.uri).rglob("day=*/shard=*/*.parquet"))


def log_entries(world: World) -> list[Path]:
    return sorted(Path(world.writer.uri, "_delta_log").glob("*.json"))


@each_run
@pytest.mark.parametrize(
    ("harm", "how"),
    [
        *HARM,
        (cut_the_tail, "is cut or overwritten"),
        (overwrite_the_middle, "is cut or overwritten"),
        (write_other_columns, "is not as the archive writes files (columns event_id, type, video_id"),
    ],
)
def test_a_raw_file_that_is_not_whole_is_named(world: World, run: Run, harm: Harm, how: str) -> None:
    harmed = data_files(world)[2]
    harm(harmed)
    with pytest.raises(Damaged) as told:
        run(world)
    says = str(told.value)
    assert f"{harmed} {how}" in says
    assert f"It touches the events of {DAY} in shard {SHARD}." in says
    assert "put it back from a backup" in says
    assert f"DeltaTable('{world.writer.uri}').repair()" in says
    assert not told.value.retriable
    assert told.value.__suppress_context__


@each_run
@pytest.mark.parametrize(("harm", "how"), HARM)
def test_an_entry_of_the_tables_log_that_is_not_whole_is_named(world: World, run: Run, harm: Harm, how: str) -> None:
    harmed = log_entries(world)[3]
    harm(harmed)
    with pytest.raises(Damaged) as told:
        run(world)
    says = str(told.value)
    assert f"{harmed} {how}. It touches everything that reads or writes the raw table" in says
    assert "put it back from a backup" in says
    assert "docs/operations.md" in says


@pytest.mark.parametrize("harm", [make_empty, cut])
def test_an_archive_adds_nothing_to_a_log_that_is_not_whole(world: World, harm: Harm) -> None:
    harmed = log_entries(world)[-1]
    harm(harmed)
    with pytest.raises(Damaged, match=f"{harmed} is "):
        run_archive(world)


@pytest.mark.parametrize(("harm", "how"), [(cut, "is cut or overwritten"), (Path.unlink, "is gone")])
def test_a_checkpoint_of_the_tables_log_is_named(world: World, harm: Harm, how: str) -> None:
    DeltaTable(world.writer.uri).create_checkpoint()
    (harmed,) = Path(world.writer.uri, "_delta_log").glob("*.checkpoint.parquet")
    harm(harmed)
    for entry in log_entries(world)[:-1]:
        entry.unlink()
    with pytest.raises(Damaged) as told:
        world.recompute()
    assert f"{harmed} {how}" in str(told.value)


def test_a_log_whose_entries_are_json_of_another_kind_is_named(world: World) -> None:
    log_entries(world)[3].write_text('{"add": {"path": 5}}')
    with pytest.raises(Damaged, match=r"raw/_delta_log does not fit together\. It touches"):
        world.recompute()


@pytest.mark.parametrize(
    ("column", "garbled"),
    [("day", "2026-13-31"), ("day", "noon"), ("day", "20260131"), ("shard", "16"), ("shard", "-1"), ("shard", "x")],
)
@each_run
def test_a_file_of_a_day_or_a_shard_that_there_is_not_is_named(
    world: World, run: Run, column: str, garbled: str
) -> None:
    entry = log_entries(world)[3]
    whole = entry.read_text()
    entry.write_text(re.sub(rf'("partitionValues":{{[^}}]*"{column}":)"[^"]*"', rf'\1"{garbled}"', whole))
    assert entry.read_text() != whole
    with pytest.raises(Damaged, match=r"the log of the raw table cannot be read: .*/raw/_delta_log ") as told:
        run(world)
    if garbled != "x":  # which is no number, so that no library says more
        assert re.search(rf"says that day=\S+\.parquet is of day .*{garbled}.*, which there is not\.", str(told.value))


@pytest.mark.parametrize("run", [*RUNS.values(), run_archive], ids=[*RUNS, "archive"])
@pytest.mark.parametrize("known", ["a version", "the archive"])
def test_a_log_of_the_table_that_is_gone_is_not_taken_for_one_that_is_still_to_come(
    world: World, run: Run, known: str
) -> None:
    if known == "a version":
        world.recompute()
    else:
        begin_checkpoint(world.store, "archive", 1, BegunAt(start={0: 5}))
        Progress(positions={0: 6}, included_until=MIDNIGHT_UTC).write(world.store, ARCHIVE)
    log = Path(world.writer.uri, "_delta_log")
    log.rename(world.folder / "elsewhere")
    with pytest.raises(Damaged) as told:
        run(world)
    says = str(told.value)
    assert f"{log} is gone, although " in says
    assert ("version 1 was counted from it" if known == "a version" else "the archive has written there") in says
    assert "whether TALLYMARK_RAW names that table" in says
    assert not log.exists()


def test_before_the_archive_has_read_on_from_where_it_began_there_need_be_no_table(tmp_path: Path) -> None:
    world = World(tmp_path)
    rmtree(world.writer.uri)
    begin_checkpoint(world.store, "archive", 1, BegunAt(start={0: 5}))
    Progress(positions={0: 5}, included_until=MIDNIGHT_UTC).write(world.store, ARCHIVE)
    with pytest.raises(NothingToRecount, match="there are no raw events"):
        world.recompute()
    run_archive(world)


def test_entries_before_a_checkpoint_may_be_anything(world: World) -> None:
    DeltaTable(world.writer.uri).create_checkpoint()
    for entry in log_entries(world)[:3]:
        make_empty(entry)
    world.recompute()
    world.assert_exact()


def test_several_files_are_told_at_once(world: World) -> None:
    harmed = data_files(world)
    for file in harmed[:5]:
        file.unlink()
    with pytest.raises(Damaged) as told:
        world.recompute()
    says = str(told.value)
    assert "5 files of the raw table cannot be read" in says
    assert f"{harmed[2]} is gone and 2 more. It touches the events of {DAY} in shard {SHARD}." in says
    assert "put them back" in says


def test_an_error_of_ours_over_whole_files_is_not_blamed_on_them(world: World) -> None:
    uris = [file.uri for file in world.table.pin().files]
    with pytest.raises(KeyError), explaining(world.writer.uri, damage=lambda _: damaged_files(uris)):
        raise KeyError("a mistake")


def test_a_file_that_is_put_back_is_all_it_takes(world: World) -> None:
    harmed = data_files(world)[2]
    body = harmed.read_bytes()
    harmed.unlink()
    with pytest.raises(Damaged):
        world.recompute()
    harmed.write_bytes(body)
    world.recompute()
    world.assert_exact()


def test_without_a_backup_the_table_goes_on_without_the_file(world: World) -> None:
    world.recompute()
    before = world.published
    harmed = data_files(world)[2]
    lost = set(pq.ParquetFile(harmed).read(["event_id"])["event_id"].to_pylist())
    harmed.unlink()
    with pytest.raises(Damaged):
        world.recompute(again=[MIDNIGHT - 1440])
    assert world.published == before
    DeltaTable(world.writer.uri).repair()
    world.rows = [row for row in world.rows if row.event.event_id not in lost]
    world.note()
    world.recompute()
    world.assert_exact()


def test_without_a_backup_the_log_is_made_again_from_the_files(world: World) -> None:
    world.recompute()
    world.compact()
    cut(log_entries(world)[3])
    with pytest.raises(Damaged):
        world.table.pin()
    # as docs/operations.md says
    Path(world.writer.uri, "_delta_log").rename(world.folder / "old-log")
    convert_to_deltalake(
        world.writer.uri,
        partition_by=Schema.from_arrow(pa.schema([("day", pa.string()), ("shard", pa.int32())])),
        partition_strategy="hive",
    )
    world.note()
    world.append(*events(7))
    world.recompute()
    world.assert_exact()


@pytest.mark.parametrize("command", ["recompute", "audit", "maintain"])
def test_a_command_ends_with_1_and_the_message(world: World, command: str) -> None:
    harmed = log_entries(world)[3]
    cut(harmed)
    done = tallymark(settings_of(world), command)
    assert done.returncode == 1
    assert f"error: the log of the raw table cannot be read: {harmed} is cut" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
