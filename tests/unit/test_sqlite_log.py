"""What the embedded log promises beyond the contract: clocks that step back, locks, and files that are no log."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream.log.sqlite.log import PARTITION, SqliteLog
from tallymark.errors import LogUnavailable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START_MS = 1_769_860_800_000


class Clock:
    """A clock that is set by hand, in milliseconds."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Hold the file's write lock, as another process does in the middle of an append."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


def ms(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


def test_a_clock_that_steps_back_breaks_no_vow(tmp_path: Path) -> None:
    clock = Clock()
    log = SqliteLog(tmp_path / "log.sqlite", now_ms=clock)
    log.append([("a", b"1")])
    vowed = log.horizon()
    clock.ms -= 3_600_000
    log.append([("b", b"2")])
    first, second = log.read({PARTITION: 0}, log.horizon().positions)
    assert second.appended_at == first.appended_at == START_MS
    assert second.offset >= vowed.positions[PARTITION]
    assert second.appended_at >= ms(vowed.at)
    assert log.horizon().at >= vowed.at


def test_a_horizon_waits_for_no_writer_while_the_log_is_written_to(tmp_path: Path) -> None:
    clock = Clock()
    log = SqliteLog(tmp_path / "log.sqlite", now_ms=clock)
    log.append([("a", b"1")])
    clock.ms += 100
    with write_lock(tmp_path / "log.sqlite"):
        horizon = log.horizon()
    assert (horizon.positions, ms(horizon.at)) == ({PARTITION: 2}, START_MS)


def test_a_horizon_of_an_idle_log_is_of_now(tmp_path: Path) -> None:
    clock = Clock()
    log = SqliteLog(tmp_path / "log.sqlite", now_ms=clock)
    log.append([("a", b"1")])
    clock.ms += 101
    assert ms(log.horizon().at) == START_MS + 101


def test_who_opens_a_log_to_read_it_waits_for_no_writer(tmp_path: Path) -> None:
    SqliteLog(tmp_path / "log.sqlite").append([("a", b"1")])
    with write_lock(tmp_path / "log.sqlite"):
        assert [record.value for record in SqliteLog(tmp_path / "log.sqlite").read({}, {PARTITION: 9})] == [b"1"]


def test_a_file_that_is_no_database_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.write_bytes(b"not a database, and long enough to be read as one" * 100)
    with pytest.raises(LogUnavailable, match=r"log\.sqlite"):
        SqliteLog(path)


def test_a_home_that_cannot_be_made_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(LogUnavailable, match="home"):
        SqliteLog(tmp_path / "home" / "log.sqlite")


APPENDER = """
import sys
from pathlib import Path
from stream.log.sqlite.log import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
for group in range(10**6):
    log.append([(str(n), f"{group} {n}".encode()) for n in range(50)])
    print(group, flush=True)
"""


def test_a_process_killed_in_the_middle_of_an_append_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with subprocess.Popen([sys.executable, "-c", APPENDER, str(path)], stdout=subprocess.PIPE, text=True) as appender:
        assert appender.stdout is not None
        for _ in range(20):
            acknowledged = int(appender.stdout.readline())
        time.sleep(0.003)  # any moment will do
        appender.kill()
        acknowledged = max([acknowledged, *map(int, appender.stdout.read().split())])
    log = SqliteLog(path)
    found = [record.value.decode() for record in log.read({}, log.horizon().positions)]
    whole = [f"{group} {n}" for group in range(len(found) // 50) for n in range(50)]
    assert found == whole
    assert len(found) // 50 > acknowledged
