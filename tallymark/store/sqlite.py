"""The embedded ViewStore: one SQLite file in WAL mode, read and written by many processes at once (ADR 11).

The table has the columns of the HBase layout: row key, offset in the row, version. A batch cell keeps all versions
(attempts); a speed cell keeps one value per epoch, the one of the highest micro-batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tallymark.buckets import Grain
from tallymark.cells import SHARDS, Cell, CellKey, CellSpan, bucket_at, place, row_key, row_of
from tallymark.errors import IncompatibleStore, StoreUnavailable
from tallymark.store import Attempt, Stamp, View
from tallymark.store.sqlite_file import SqliteFile
from tallymark.tally import Tally

__all__ = ["SqliteViewStore"]

_LAYOUT: Final = 2
_CELLS: Final = """
CREATE TABLE IF NOT EXISTS {view} (
    row BLOB NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, micro_batch INTEGER NOT NULL,
    tally BLOB NOT NULL, users BLOB, PRIMARY KEY (row, offset, version)
) WITHOUT ROWID
"""
_DOCUMENTS: Final = "CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"
_PUT: Final = """
INSERT INTO {view} VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (row, offset, version) DO UPDATE
SET tally = excluded.tally, users = excluded.users, micro_batch = excluded.micro_batch
WHERE excluded.micro_batch >= {view}.micro_batch
"""
# the last version of a cell comes last, so that a dict built in this order keeps it; `users` is the last column, and
# SQLite does not turn the pages of a sketch that is not asked for
_GET: Final = """
SELECT row, offset, tally, {users} FROM {view}
WHERE (row, offset) >= (?, ?) AND (row, offset) <= (?, ?) AND version <= ? ORDER BY row, offset, version
"""
_SCAN: Final = """
SELECT row, offset, tally, users, max(version) FROM {view}
WHERE row >= ? AND row < ? AND version <= ? AND substr(row, -5, 1) = ? GROUP BY row, offset ORDER BY row, offset
"""
_OLD_ROWS: Final = """
SELECT DISTINCT row FROM {view} WHERE row >= ? AND row < ? AND substr(row, -5, 1) = ? AND substr(row, -4) < ?
"""
_ROWS_AT_ONCE: Final = 1000  # of one transaction: whoever puts cells meanwhile waits for it


class SqliteViewStore:
    """A ViewStore in the file `path`, made when it does not exist."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, what="view store", error=StoreUnavailable)
        self._turn = threading.Lock()
        self._create()

    def put(self, view: View, cells: Iterable[Cell], *, version: Attempt | Stamp) -> int:
        number, micro_batch = version if isinstance(version, Stamp) else (version.number, 0)
        rows = [(*_address(cell), number, micro_batch, *_stored(cell.tally)) for cell in cells]
        with self._file.writing() as connection:
            connection.executemany(_PUT.format(view=view), rows)
        return len(rows)

    def get(self, view: View, spans: Iterable[CellSpan], *, version: int, users: bool = True) -> dict[CellKey, Tally]:
        query = _GET.format(view=view, users="users" if users else "NULL")
        found: dict[CellKey, Tally] = {}
        # sqlite3 lets go of the interpreter at every row: threads that read at once would fight for it row by row, and
        # a burst of readers, once there, would take five times the work and never clear
        with self._turn, self._file.reading() as connection:
            for asked in spans:
                found.update(_cells_of(asked, connection.execute(query, (*_bounds(asked), version))))
        return found

    def scan(self, view: View, shard: int, grain: Grain, *, version: int) -> Iterator[Cell]:
        # shard 255 does not exist, so there is always a next byte
        bounds = (bytes((shard,)), bytes((shard + 1,)), version, bytes((grain,)))
        with self._file.reading() as connection:
            found = connection.execute(_SCAN.format(view=view), bounds).fetchall()
        for row, offset, tally, users, _ in found:
            at = row_of(row)
            yield Cell(at.video_id, at.type, bucket_at(at.grain, at.start, offset), Tally.from_bytes(tally, users))

    def remove(self, view: View, shard: int, grain: Grain, *, before: int) -> int:
        bounds = (bytes((shard,)), bytes((shard + 1,)), bytes((grain,)), before.to_bytes(4, "big"))
        with self._file.reading() as connection:
            old = connection.execute(_OLD_ROWS.format(view=view), bounds).fetchall()
        for first in range(0, len(old), _ROWS_AT_ONCE):
            with self._file.writing() as connection:
                connection.executemany(f"DELETE FROM {view} WHERE row = ?", old[first : first + _ROWS_AT_ONCE])
        return len(old)

    def read_document(self, name: str) -> bytes | None:
        return self.read_documents([name])[0]

    def read_documents(self, names: Sequence[str]) -> list[bytes | None]:
        query = f"SELECT name, body FROM documents WHERE name IN ({','.join('?' * len(names))})"
        with self._file.reading() as connection:
            found = dict(connection.execute(query, tuple(names)).fetchall())
        return [found.get(name) for name in names]

    def write_document(self, name: str, body: bytes) -> None:
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, body))

    def swap_document(self, name: str, expected: bytes | None, body: bytes) -> bool:
        insert = "INSERT INTO documents VALUES (?, ?) ON CONFLICT DO NOTHING"
        update = "UPDATE documents SET body = ? WHERE name = ? AND body = ?"
        with self._file.writing() as connection:
            if expected is None:
                return connection.execute(insert, (name, body)).rowcount == 1
            return connection.execute(update, (body, name, expected)).rowcount == 1

    def list_documents(self, prefix: str, *, after: str = "") -> list[tuple[str, bytes]]:
        query = "SELECT name, body FROM documents WHERE name >= ? AND name > ? AND name < ? ORDER BY name"
        # U+10FFFF sorts after every character that a name holds
        with self._file.reading() as connection:
            return connection.execute(query, (prefix, after, prefix + "\U0010ffff")).fetchall()

    def remove_documents(self, names: Iterable[str]) -> None:
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM documents WHERE name = ?", [(name,) for name in names])

    def close(self) -> None:
        self._file.close()

    def _create(self) -> None:
        layout = f"layout {_LAYOUT}, {SHARDS} shards".encode()
        with self._file.writing() as connection:
            for view in View:
                connection.execute(_CELLS.format(view=view))
            connection.execute(_DOCUMENTS)
            connection.execute("INSERT OR IGNORE INTO documents VALUES ('layout', ?)", (layout,))
            (found,) = connection.execute("SELECT body FROM documents WHERE name = 'layout'").fetchone()
        if found != layout:
            self.close()
            raise IncompatibleStore(
                f"{self._file.path} was made as {found.decode()!r}, this Tallymark needs {layout.decode()!r}; "
                f"point TALLYMARK_STORE at another file, or recompute into a new one"
            )


def _address(cell: Cell) -> tuple[bytes, int]:
    row_start, offset = place(cell.bucket)
    return row_key(cell.video_id, cell.type, cell.bucket.grain, row_start), offset


def _bounds(asked: CellSpan) -> tuple[bytes, int, bytes, int]:
    """First and last cell of a span: rows of one video, type and grain are adjacent, so one range holds them all."""
    span = asked.span
    first_row, first = place(span.first)
    last_row, last = place(span.last)
    at_row = partial(row_key, asked.video_id, asked.type, span.grain)
    return at_row(first_row), first, at_row(last_row), last


def _stored(tally: Tally) -> tuple[bytes, bytes | None]:
    return tally.to_bytes(), None if tally.users is None else tally.users.to_bytes()


def _cells_of(
    asked: CellSpan, rows: Iterable[tuple[bytes, int, bytes, bytes | None]]
) -> Iterator[tuple[CellKey, Tally]]:
    video_id, type_, (grain, _, _) = asked
    newest = {(row[-4:], offset): (tally, users) for row, offset, tally, users in rows}
    for (row_start, offset), stored in newest.items():
        bucket = bucket_at(grain, int.from_bytes(row_start, "big"), offset)
        yield CellKey(video_id, type_, bucket), Tally.from_bytes(*stored)
