"""One SQLite file that many threads and processes read and write: a connection per thread, WAL, synchronous=FULL."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tallymark.errors import Unavailable

__all__ = ["SqliteFile"]

_BUSY_SECONDS: Final = 30.0
_CACHE_KIB: Final = 16_384  # of a connection: rows that are put in order meet those of other grains in the same pages
_WAL_PAGES: Final = 4000  # 16 MB: a page that is written often is then copied into the file less often
_INCREMENTAL: Final = 2  # auto_vacuum
_SLICE_PAGES: Final = 1000


class SqliteFile:
    """The file `path`, made when it does not exist. What SQLite raises becomes `error`, which names `what` it is.

    `shrinks`: whether room that is free can be given back, by `shrink`.
    """

    def __init__(self, path: Path, *, what: str, error: type[Unavailable], shrinks: bool = False) -> None:
        self.path = path
        self._shrinks = shrinks
        self._what = what
        self._error = error
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One snapshot of the file for all reads inside; may be nested."""
        with self._explained("read"):
            connection = self._connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The only writer of the file while inside; durable at the end, nothing written when something is raised."""
        with self._explained("write"):
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

    def shrink(self, *, pause_s: float) -> None:
        """Give free room back to the file system, in slices with a pause after each. A file that was made without that
        ability gets it now, by being written anew: other writers wait meanwhile."""
        with self._explained("shrink"):
            connection = self._connection()
            if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
                connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
                connection.execute("VACUUM")
            while connection.execute("PRAGMA freelist_count").fetchone() != (0,):
                connection.executescript(f"PRAGMA incremental_vacuum({_SLICE_PAGES})")  # execute() frees one page
                time.sleep(pause_s)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # as far as readers let it

    def close(self) -> None:
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    def _connection(self) -> sqlite3.Connection:
        thread = threading.current_thread()
        existing = self._connections.get(thread)
        if existing is not None:
            return existing
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # closed by whichever thread calls close(), so not bound to the one that opens it
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            if self._shrinks and not self.path.stat().st_size:  # only a new file takes it, and others would wait
                connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            _enter_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA mmap_size = 1073741824")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._close_those_of_ended_threads()
            self._connections[thread] = connection
        return connection

    def _close_those_of_ended_threads(self) -> None:
        """A server's thread pool shrinks and grows for months; each of its threads had a connection."""
        for thread in [thread for thread in self._connections if not thread.is_alive()]:
            self._connections.pop(thread).close()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._error(
                f"cannot {doing} the {self._what} {self.path}: {error}; "
                f"check that the disk has room and that the folder can be written"
            ) from error


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL. SQLite does not wait for a lock while it does so: first openers that meet try again."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
