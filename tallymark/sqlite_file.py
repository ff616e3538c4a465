"""One SQLite file that many threads and processes read and write: a connection per thread, WAL, synchronous=FULL."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tallymark.errors import Unavailable

__all__ = ["SqliteFile"]

_BUSY_SECONDS: Final = 30.0


class SqliteFile:
    """The file `path`, made when it does not exist. What SQLite raises becomes `error`, which names `what` it is."""

    def __init__(self, path: Path, *, what: str, error: type[Unavailable]) -> None:
        self.path = path
        self._what = what
        self._error = error
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
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

    def close(self) -> None:
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        existing: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if existing is not None:
            return existing
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # closed by whichever thread calls close(), so not bound to the one that opens it
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA mmap_size = 1073741824")
        self._local.connection = connection
        with self._lock:
            self._all.append(connection)
        return connection

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._error(
                f"cannot {doing} the {self._what} {self.path}: {error}; "
                f"check that the disk has room and that the folder can be written"
            ) from error
