"""The embedded store as a file: full disks, folders that cannot be written, other layouts, many openers, snapshots."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sqlite3
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tallymark.buckets import Grain, Span
from tallymark.cells import Cell, CellSpan
from tallymark.errors import IncompatibleStore, StoreUnavailable
from tallymark.rows import pack
from tallymark.store import Attempt, Stamp, View
from tallymark.store.sqlite import SqliteViewStore
from tests.support.minutes import NOON, found, minute, tally

NOBODY = 65_534
spawn = multiprocessing.get_context("spawn")


def batch_of(n: int) -> list[Cell]:
    return [minute(f"v{i}", NOON + n, tally(n + 1)) for i in range(500)]


def told(attempt: Callable[[], object]) -> str:
    """What StoreUnavailable says."""
    with pytest.raises(StoreUnavailable) as error:
        attempt()
    assert error.value.retriable
    return str(error.value)


def intact(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def fill_the_disk(path: Path) -> None:
    """A limit on the size of files stands for the disk; it also binds root."""
    store = SqliteViewStore(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    def put_on() -> None:
        for n in range(60):
            store.put(batch_of(n), version=Stamp(1, 0, n))

    said = told(put_on)
    assert said.startswith(f"cannot write the view store {path}: ")
    assert "check that the disk has room" in said
    whole = found(store, View.SPEED, "v7", version=1)
    assert whole == [tally(n + 1) for n in range(len(whole))], "what was put before can be read"
    told(lambda: store.put(batch_of(59), version=Stamp(1, 0, 59)))
    store.close()


def test_a_full_disk_is_said_and_leaves_the_file_intact(tmp_path: Path) -> None:
    path = tmp_path / "views.sqlite"
    writer = spawn.Process(target=fill_the_disk, args=(path,))
    writer.start()
    writer.join(60)
    assert writer.exitcode == 0
    assert intact(path)
    store = SqliteViewStore(path)
    kept = found(store, View.SPEED, "v7", version=1)
    assert kept == [tally(n + 1) for n in range(len(kept))]
    assert 0 < len(kept) < 59
    assert found(store, View.SPEED, "v499", version=1) == kept, "a put is whole or not there"
    store.put(batch_of(59), version=Stamp(1, 0, 59))
    assert found(store, View.SPEED, "v7", version=1) == [*kept, tally(60)], "with room it goes on"
    store.close()


def be_refused(path: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    assert f"the view store {path}: " in told(lambda: SqliteViewStore(path))


def test_a_folder_that_became_read_only_is_said_and_the_store_is_intact() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "views.sqlite"
        store = SqliteViewStore(path)
        store.put_rows(pack(batch_of(0)), version=Attempt(1))
        store.close()
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        reader = spawn.Process(target=be_refused, args=(path,))
        reader.start()
        reader.join(60)
        Path(folder).chmod(0o755)
        path.chmod(0o644)
        assert reader.exitcode == 0
        again = SqliteViewStore(path)
        assert found(again, View.BATCH, "v7", version=1) == [tally(1)]
        again.close()


@pytest.mark.parametrize("home", ["/proc/tallymark", "/dev/null/tallymark"])
def test_a_home_that_cannot_be_made_is_named(home: str) -> None:
    path = Path(home) / "views.sqlite"
    assert told(lambda: SqliteViewStore(path)).startswith(f"cannot write the view store {path}: ")


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "views.sqlite"
    path.write_bytes(b"not a database" * 1000)
    assert "file is not a database" in told(lambda: SqliteViewStore(path))
    assert path.read_bytes() == b"not a database" * 1000


def test_a_store_of_another_layout_is_refused_with_both_layouts_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "views.sqlite"
    store = SqliteViewStore(path)
    own = store.read_document("layout")
    assert own is not None
    store.write_document("layout", b"layout 3, 16 shards")
    store.close()
    both = f"'layout 3, 16 shards'.*'{own.decode()}'.*recompute --into"
    with pytest.raises(IncompatibleStore, match=both):
        SqliteViewStore(path)


def open_together(folder: Path, barrier: Barrier) -> None:
    for n in range(20):
        barrier.wait(60)
        SqliteViewStore(folder / str(n) / "views.sqlite").close()


def test_many_processes_may_be_the_first_to_open_a_store(tmp_path: Path) -> None:
    barrier = spawn.Barrier(4)
    openers = [spawn.Process(target=open_together, args=(tmp_path, barrier)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(60)
    assert [opener.exitcode for opener in openers] == [0] * 4


def test_threads_that_ended_leave_no_open_files(tmp_path: Path) -> None:
    store = SqliteViewStore(tmp_path / "views.sqlite")
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(30):
        thread = threading.Thread(target=store.read_document, args=("x",))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) <= open_before + 3  # noqa: PTH208
    store.close()


def test_one_get_sees_one_state_while_others_put(tmp_path: Path) -> None:
    """Both hours are always put together, so no reader may see them differ."""
    store = SqliteViewStore(tmp_path / "views.sqlite")
    spans = [CellSpan("v", "view", Span(Grain.MINUTE, at, at + 60)) for at in (NOON, NOON + 60)]
    done = threading.Event()

    def write() -> None:
        for n in range(300):
            store.put([minute("v", at, tally(n + 1)) for at in (NOON, NOON + 60)], version=Stamp(1, 0, n))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(tuple(store.get(View.SPEED, spans, version=1).values()))
    writer.join()
    assert all(not state or state[0] == state[1] for state in seen)
    assert len(set(seen)) > 1
    store.close()
