"""The embedded event log: one SQLite file, one partition, durable when `append` returns."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from stream.log import Horizon, Positions, Record
from tallymark.errors import LogUnavailable
from tallymark.instants import Millis, first_millis, instant_of, now_ms
from tallymark.store.sqlite_file import SqliteFile

__all__ = ["PARTITION", "SqliteLog"]

PARTITION: Final = 0
_INSERT_ROWS: Final = 1000
_READ_ROWS: Final = 5000
_FRESH_MS: Final = 100
_REMOVED_ROWS: Final = 5000
_PAUSE_S: Final = 0.01  # between two slices, in which whoever waits to append does
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS records"
    " (log_offset INTEGER PRIMARY KEY, appended_at INTEGER NOT NULL, value BLOB NOT NULL)",
    # one row: the latest instant that the log has vouched for, so that no clock that steps back can break the vow
    "CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY CHECK (id = 0), latest INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO clock VALUES (0, 0)",
)


class SqliteLog:
    """An EventLog in the file `path`; `now_ms` is the log's clock.

    Writers take SQLite's write lock, then the time, then insert: so offsets and `appended_at` rise together, and
    whoever writes later vouches for a time that is no earlier than what a reader sees vouched for.
    """

    def __init__(self, path: Path, *, now_ms: Callable[[], int] = now_ms) -> None:
        self._file = SqliteFile(path, what="event log", error=LogUnavailable, shrinks=True)
        self._now_ms = now_ms
        if not self._exists():  # who only reads a log must not wait for its writer
            with self._file.writing() as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)

    def append(self, records: Sequence[tuple[str, bytes]]) -> None:
        if not records:
            return
        with self._file.writing() as connection:
            at = self._vouch(connection)
            for first in range(0, len(records), _INSERT_ROWS):
                values = [value for _, value in records[first : first + _INSERT_ROWS]]
                connection.execute(_insert(len(values)), (at, *values))

    def horizon(self) -> Horizon:
        """`at` may lie up to 100 ms back while others append: then a look is proof enough, and nobody waits."""
        with self._file.reading() as connection:
            at, end = _latest(connection), _end(connection)
        if self._now_ms() - at > _FRESH_MS:
            with self._file.writing() as connection:
                at, end = self._vouch(connection), _end(connection)
        # records of this very millisecond may still come
        return Horizon({PARTITION: end}, instant_of(Millis(at)))

    def end(self) -> dict[int, int]:
        with self._file.reading() as connection:
            return {PARTITION: _end(connection)}

    def positions_at(self, instant: datetime) -> dict[int, int]:
        since = first_millis(instant)
        with self._file.reading() as connection:
            return {PARTITION: self._first_at(connection, since, _oldest(connection), _end(connection))}

    def trimmed(self) -> dict[int, Millis]:
        with self._file.reading() as connection:
            oldest = _oldest(connection)
            if oldest == 1:
                return {}
            at = connection.execute("SELECT appended_at FROM records WHERE log_offset = ?", (oldest,)).fetchone()
        return {PARTITION: Millis(at[0]) if at else Millis(self._now_ms())}

    def forget(self, before: Positions) -> int:
        """As `Forgets`, in slices that hold up no append for long. The newest record stays, so that no offset is given
        twice. A file of an earlier version is written anew once, and appends wait for that."""
        with self._file.reading() as connection:
            first = at = _oldest(connection)
            stop = min(before.get(PARTITION, 0), _end(connection) - 1)
        while at < stop:
            at = min(at + _REMOVED_ROWS, stop)
            with self._file.writing() as connection:
                connection.execute("DELETE FROM records WHERE log_offset < ?", (at,))
            time.sleep(_PAUSE_S)
        if first < stop:
            self._file.shrink(pause_s=_PAUSE_S)
        return max(0, stop - first)

    def read(self, start: Positions, end: Positions) -> Iterator[Record]:
        """Reads ahead a few thousand records at a time: between them, no snapshot keeps the file from being tidied."""
        query = (
            "SELECT ?, log_offset, appended_at, value FROM records WHERE log_offset >= ? AND log_offset < ?"
            " ORDER BY log_offset LIMIT ?"
        )
        at, stop = start.get(PARTITION, 0), end.get(PARTITION, 0)
        while at < stop:
            with self._file.reading() as connection:
                rows = connection.execute(query, (PARTITION, at, stop, _READ_ROWS)).fetchall()
            if not rows:
                return
            yield from map(Record._make, rows)
            at = rows[-1][1] + 1

    def close(self) -> None:
        self._file.close()

    def _exists(self) -> bool:
        with self._file.reading() as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name IN ('records', 'clock')")
            return bool(tables.fetchone() == (2,) and connection.execute("SELECT 1 FROM clock").fetchone())

    def _vouch(self, connection: sqlite3.Connection) -> int:
        """The time for what this transaction writes: never before one that the log gave earlier."""
        at = max(_latest(connection), self._now_ms())
        connection.execute("UPDATE clock SET latest = ?", (at,))
        return at

    @staticmethod
    def _first_at(connection: sqlite3.Connection, since: int, oldest: int, end: int) -> int:
        """Binary search: offsets are dense and appended_at never decreases."""
        low, high = oldest, end
        while low < high:
            middle = (low + high) // 2
            (at,) = connection.execute("SELECT appended_at FROM records WHERE log_offset = ?", (middle,)).fetchone()
            low, high = (low, middle) if at >= since else (middle + 1, high)
        return low


@lru_cache(maxsize=64)
def _insert(rows: int) -> str:
    """One statement for many rows. `executemany` would let go of the interpreter's lock and take it back at every row:
    beside a thread that is busy, as the gateway's is, that is 2,000 rows a second in place of 100,000."""
    return f"INSERT INTO records (appended_at, value) VALUES {', '.join(f'(?1, ?{n + 2})' for n in range(rows))}"


def _latest(connection: sqlite3.Connection) -> int:
    (latest,) = connection.execute("SELECT latest FROM clock").fetchone()
    return int(latest)


def _oldest(connection: sqlite3.Connection) -> int:
    (oldest,) = connection.execute("SELECT coalesce(min(log_offset), 1) FROM records").fetchone()
    return int(oldest)


def _end(connection: sqlite3.Connection) -> int:
    (end,) = connection.execute("SELECT coalesce(max(log_offset), 0) + 1 FROM records").fetchone()
    return int(end)
