"""The embedded event log: one SQLite file, one partition, durable when `append` returns."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from stream.log import Horizon, Positions, Record
from tallymark.errors import LogUnavailable
from tallymark.sqlite_file import SqliteFile

__all__ = ["PARTITION", "SqliteLog"]

PARTITION: Final = 0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS records"
    " (log_offset INTEGER PRIMARY KEY, appended_at INTEGER NOT NULL, value BLOB NOT NULL)",
    # one row: the latest instant that the log has vouched for, so that no clock that steps back can break the vow
    "CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), latest INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO clock VALUES (0, 0)",
)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteLog:
    """An EventLog in the file `path`; `now_ms` is the log's clock.

    Writers take SQLite's write lock, then the time, then insert: so offsets and `appended_at` rise together, and a
    `horizon` taken under the same lock has nobody's unfinished write behind it.
    """

    def __init__(self, path: Path, *, now_ms: Callable[[], int] = _now_ms) -> None:
        self._file = SqliteFile(path, what="event log", error=LogUnavailable)
        self._now_ms = now_ms
        with self._file.writing() as connection:
            for statement in _SCHEMA:
                connection.execute(statement)

    def append(self, records: Sequence[tuple[str, bytes]]) -> None:
        if not records:
            return
        with self._file.writing() as connection:
            at = self._vouch(connection)
            values = ((at, value) for _, value in records)
            connection.executemany("INSERT INTO records (appended_at, value) VALUES (?, ?)", values)

    def horizon(self) -> Horizon:
        with self._file.writing() as connection:
            at = self._vouch(connection)
            end = _end(connection)
        # records of this very millisecond may still come
        return Horizon({PARTITION: end}, _EPOCH + timedelta(milliseconds=at))

    def end(self) -> int:
        """The offset that the next record will get: a cheap look, without the proof of a `horizon`."""
        with self._file.reading() as connection:
            return _end(connection)

    def positions_at(self, instant: datetime) -> dict[int, int]:
        since = -((_EPOCH - instant) // timedelta(milliseconds=1))
        with self._file.reading() as connection:
            return {PARTITION: self._first_at(connection, since, _end(connection))}

    def read(self, start: Positions, end: Positions) -> Iterator[Record]:
        query = "SELECT log_offset, appended_at, value FROM records WHERE log_offset >= ? AND log_offset < ?"
        bounds = (start.get(PARTITION, 0), end.get(PARTITION, 0))
        with self._file.reading() as connection:
            for offset, appended_at, value in connection.execute(query, bounds):
                yield Record(PARTITION, offset, appended_at, value)

    def close(self) -> None:
        self._file.close()

    def _vouch(self, connection: sqlite3.Connection) -> int:
        """The time for what this transaction writes: never before one that the log gave earlier."""
        (latest,) = connection.execute("SELECT latest FROM clock").fetchone()
        at = max(int(latest), self._now_ms())
        connection.execute("UPDATE clock SET latest = ?", (at,))
        return at

    @staticmethod
    def _first_at(connection: sqlite3.Connection, since: int, end: int) -> int:
        """Binary search: offsets are dense and appended_at never decreases."""
        low, high = 1, end
        while low < high:
            middle = (low + high) // 2
            (at,) = connection.execute("SELECT appended_at FROM records WHERE log_offset = ?", (middle,)).fetchone()
            low, high = (low, middle) if at >= since else (middle + 1, high)
        return low


def _end(connection: sqlite3.Connection) -> int:
    (end,) = connection.execute("SELECT coalesce(max(log_offset), 0) + 1 FROM records").fetchone()
    return int(end)
