"""Events on disk, for as long as no gateway takes them: one SQLite file for each process of a producer.

A file belongs to the process that has it open: SQLite's exclusive lock ends with the process, however it ends. The next
process of that producer name takes the first file that nobody has open, and what the others hold moves into it. What is
written survives the end of the process at once, and that of the machine within a few megabytes of writing.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tallymark.errors import Damaged, Unavailable

__all__ = ["Spill"]

_MINE: Final = 0x54414C59  # the application id of a spill
_PAGE: Final = 4096
_JOURNAL: Final = 2_000_000
# who is interrupted by a signal, and moves the same events and more in its handler, takes back none of them
_PUT: Final = """
    INSERT INTO blocks VALUES (?, ?, ?)
    ON CONFLICT (first) DO UPDATE SET events = excluded.events, records = excluded.records
    WHERE excluded.events > blocks.events
"""
_NEWLINE: Final = b"\n"
_inherited: list[sqlite3.Connection] = []


class Spill:
    """Blocks of encoded events under the position of their first one. `most` bounds the file, in bytes; beside it
    stands a journal of up to 2 MB. Threads may share it."""

    def __init__(self, folder: Path, producer: str, *, most: int) -> None:
        self._most = most
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        stem = quote(producer, safe="").replace(".", "%2E")
        for slot in itertools.count(1):
            self.path = folder / f"{stem}.{slot}.spill"
            if (database := self._open(self.path)) is not None:
                self._database = database
                break
        self._adopt(sorted(folder.glob(f"{stem}.*.spill")))

    @property
    def positions(self) -> tuple[int, int]:
        """The first position that is kept, and the one after the last; equal when it is empty."""
        with self._lock:
            first, end = self._database.execute("SELECT min(first), max(first + events) FROM blocks").fetchone()
        return (0, 0) if end is None else (first, end)

    def append(self, first: int, records: Sequence[bytes]) -> None:
        """Keep events from position `first` on. Raises Unavailable when there is no room, or the disk fails."""
        with self._lock:
            self._put(first, len(records), _NEWLINE.join(records))

    def read(self, position: int, *, events: int, size: int) -> tuple[int, list[bytes]]:
        """What is kept from `position` on: the position of the first event, and the events of as many blocks as it
        takes to have so many, or so many bytes. Raises Damaged."""
        with self._lock:
            first, blocks = self._blocks(position, events, size)
        found = [record for block in blocks for record in block.split(_NEWLINE)]
        return max(first, position), found[max(0, position - first) :]

    def forget(self, until: int) -> None:
        """Blocks that end before position `until` are not needed. On a disk that is full they stay, and do no harm."""
        with self._lock, suppress(sqlite3.OperationalError):
            self._write("DELETE FROM blocks WHERE first + events <= ?", until)

    def close(self, *, keep: bool) -> None:
        """`keep`: for the next process; else nothing in it is needed, and the file goes away."""
        with self._lock:
            if not keep:
                _remove(self._database, self.path)
            self._database.close()

    def abandon(self) -> None:
        """In the child of a fork: the file is the parent's, and not even closed here, which would end its journal."""
        import ctypes

        _inherited.append(self._database)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._database))  # nor at the end of the interpreter

    def _open(self, path: Path) -> sqlite3.Connection | None:
        """None while another process has it. Raises Damaged for what is no spill, Unavailable where none can be."""
        database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=16)
        try:
            self._prepare(database, path)
        except sqlite3.Error as error:
            database.close()
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                return None
            if isinstance(error, sqlite3.OperationalError):
                raise Unavailable(f"events cannot be spilled to {path}: {error}; is the folder writable?") from error
            raise _damaged(path, error) from error
        except Damaged:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection, path: Path) -> None:
        database.execute(f"PRAGMA page_size = {_PAGE}")
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        (mine,) = database.execute("PRAGMA application_id").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if mine != _MINE and tables:
            raise _damaged(path, "another program made it")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA cache_size = -512")
        database.execute("PRAGMA wal_autocheckpoint = 256")  # small, so that a full disk is full of events
        database.execute(f"PRAGMA journal_size_limit = {_JOURNAL}")
        database.execute("BEGIN EXCLUSIVE")
        database.execute(f"PRAGMA application_id = {_MINE}")
        columns = "first INTEGER PRIMARY KEY, events INTEGER NOT NULL, records BLOB NOT NULL"
        database.execute(f"CREATE TABLE IF NOT EXISTS blocks ({columns})")
        database.execute("COMMIT")
        database.execute(f"PRAGMA max_page_count = {max(16, self._most // _PAGE)}")

    def _adopt(self, files: Sequence[Path]) -> None:
        """Move in what processes that are no more left in their files, as far as there is room."""
        for path in files:
            if path == self.path or (other := self._open(path)) is None:
                continue
            _, end = self.positions
            with suppress(Unavailable):
                while block := other.execute("SELECT first, events, records FROM blocks ORDER BY first").fetchone():
                    first, events, records = block
                    self._put(end, events, records)
                    end += events
                    other.execute("DELETE FROM blocks WHERE first = ?", (first,))
            (left,) = other.execute("SELECT count(*) FROM blocks").fetchone()
            if not left:
                _remove(other, path)
            other.close()

    def _put(self, first: int, events: int, records: bytes) -> None:
        try:
            self._write(_PUT, first, events, records)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"no more events can be spilled to {self.path}: {error}") from error

    def _write(self, statement: str, *values: object) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.OperationalError:
            # on a full disk the journal cannot grow; what is in it may have room in the file, and leave some in it
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.execute(statement, values)

    def _blocks(self, position: int, events: int, size: int) -> tuple[int, list[bytes]]:
        """The position of the first, and each that follows without a gap."""
        blocks: list[bytes] = []
        begin = end = position
        try:
            rows = self._database.execute(
                "SELECT first, events, records FROM blocks WHERE first + events > ? ORDER BY first", (position,)
            )
            for first, count, records in rows:
                if blocks and (first != end or end - position >= events or sum(map(len, blocks)) >= size):
                    break
                begin, end = (begin if blocks else first), first + count
                blocks.append(records)
            rows.close()
        except sqlite3.DatabaseError as error:
            raise _damaged(self.path, error) from error
        if not blocks:
            raise _damaged(self.path, f"event {position} is not in it")
        return begin, blocks


def _remove(database: sqlite3.Connection, path: Path) -> None:
    """While it is still ours: the next process may make one of the same name. On a full disk it stays, and what is in
    it is sent once more."""
    with suppress(sqlite3.OperationalError):
        database.execute("PRAGMA journal_mode = DELETE")  # or closing would end the journal of that process
        path.unlink(missing_ok=True)


def _damaged(path: Path, what: object) -> Damaged:
    return Damaged(
        f"the spill {path} cannot be used: {what}",
        touches="events that wait on this machine's disk for a gateway",
        remedy="move the file away; then make a new producer, which begins a new one",
    )
