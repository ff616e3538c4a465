"""The embedded ViewStore: one SQLite file in WAL mode, read and written by many processes at once (ADR 11).

The tables have the columns of the HBase layout: row key, offset in the row, version. A batch cell keeps all versions
(attempts); a speed cell one value for each epoch and generation, the one of the highest micro-batch. Late cells have a
table of their own, where those of a video and type lie by step.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any, Final

from tallymark.buckets import Grain
from tallymark.cells import (
    HOUR_STEPS,
    SHARDS,
    Cell,
    CellKey,
    CellSpan,
    LateCell,
    bucket_at,
    key_head,
    of_head,
    place,
    row_key,
    row_of,
)
from tallymark.errors import IncompatibleStore, StoreUnavailable
from tallymark.store import Attempt, Stamp, View
from tallymark.store.sqlite_file import SqliteFile
from tallymark.tally import Tally

__all__ = ["SqliteViewStore"]

_LAYOUT: Final = 3
_TABLES: Final = (
    """
CREATE TABLE IF NOT EXISTS batch (
    row BLOB NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, micro_batch INTEGER NOT NULL,
    tally BLOB NOT NULL, users BLOB, PRIMARY KEY (row, offset, version)
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS speed (
    row BLOB NOT NULL, offset INTEGER NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL,
    micro_batch INTEGER NOT NULL, tally BLOB NOT NULL, users BLOB, PRIMARY KEY (row, offset, version, generation)
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS late (
    head BLOB NOT NULL, step INTEGER NOT NULL, minute INTEGER NOT NULL, version INTEGER NOT NULL,
    generation INTEGER NOT NULL, micro_batch INTEGER NOT NULL, tally BLOB NOT NULL, users BLOB,
    PRIMARY KEY (head, step, minute, version, generation)
) WITHOUT ROWID
""",
)
# the speed view of layout 2 knew no generations; the batch view, which is much the largest, is as it was
_FROM_LAYOUT_2: Final = (
    "ALTER TABLE speed RENAME TO speed_of_layout_2",
    _TABLES[1],
    "INSERT INTO speed SELECT row, offset, version, 0, micro_batch, tally, users FROM speed_of_layout_2",
    "DROP TABLE speed_of_layout_2",
)
_DOCUMENTS: Final = "CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"
_PUT: Final = """
INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE
SET tally = excluded.tally, users = excluded.users, micro_batch = excluded.micro_batch
WHERE excluded.micro_batch >= {table}.micro_batch
"""
# versions come in order, so that the newest is the last of a cell; `users` is the last column, and SQLite does not turn
# the pages of a sketch that is not asked for
_GET: Final = """
SELECT row, offset, version, tally, {users} FROM {view}
WHERE (row, offset) >= (?, ?) AND (row, offset) <= (?, ?) AND version <= ? ORDER BY row, offset, version
"""
_SCAN: Final = """
SELECT row, offset, version, tally, users FROM {view}
WHERE row >= ? AND row < ? AND version <= ? AND substr(row, -5, 1) = ? ORDER BY row, offset, version
"""
_GET_LATE: Final = """
SELECT head, step, minute, version, tally, {users} FROM late
WHERE head = ? AND step >= ? AND step < ? AND version <= ? ORDER BY step, minute, version
"""
_SCAN_LATE: Final = """
SELECT head, step, minute, version, tally, users FROM late
WHERE head >= ? AND head < ? AND version <= ? ORDER BY head, step, minute, version
"""
_REMOVE_LATE: Final = "DELETE FROM late WHERE head = ?1 AND step >= ?2 * ?3 AND step < (?2 + 1) * ?3"
_OLD_LATE: Final = "SELECT DISTINCT head, step / ? FROM late WHERE head >= ? AND head < ? AND step < ?"
_OLD_ROWS: Final = """
SELECT DISTINCT row FROM {view} WHERE row >= ? AND row < ? AND substr(row, -5, 1) = ? AND substr(row, -4) < ?
"""
_ROWS_AT_ONCE: Final = 1000  # of one transaction: whoever puts cells meanwhile waits for it


class SqliteViewStore:
    """A ViewStore in the file `path`, made when it does not exist."""

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, what="view store", error=StoreUnavailable)
        self._reading = threading.Lock()
        self._create()

    def put(self, view: View, cells: Iterable[Cell], *, version: Attempt | Stamp) -> int:
        stamp = version if isinstance(version, Stamp) else (version.number, 0)
        return self._put(view, [(*_address(cell), *stamp, *_stored(cell.tally)) for cell in cells])

    def get(self, view: View, spans: Iterable[CellSpan], *, version: int, users: bool = True) -> dict[CellKey, Tally]:
        query = _GET.format(view=view, users="users" if users else "NULL")
        found: dict[CellKey, Tally] = {}
        # sqlite3 lets go of the interpreter at every row: threads that read at once would fight for it row by row, and
        # a burst of readers, once there, would take five times the work and never clear
        with self._reading, self._file.reading() as connection:
            for asked in spans:
                found.update(_cells_of(asked, connection.execute(query, (*_bounds(asked), version))))
        return found

    def scan(self, view: View, shard: int, grain: Grain, *, version: int) -> Iterator[Cell]:
        bounds = (*_bytes_of(shard), version, bytes((grain,)))
        with self._file.reading() as connection:
            found = connection.execute(_SCAN.format(view=view), bounds).fetchall()
        for (row, offset), tally in _newest(found):
            at = row_of(row)
            yield Cell(at.video_id, at.type, bucket_at(at.grain, at.start, offset), tally)

    def remove(self, view: View, shard: int, grain: Grain, *, before: int) -> int:
        bounds = (*_bytes_of(shard), bytes((grain,)), before.to_bytes(4, "big"))
        with self._file.reading() as connection:
            old = connection.execute(_OLD_ROWS.format(view=view), bounds).fetchall()
        for first in range(0, len(old), _ROWS_AT_ONCE):
            with self._file.writing() as connection:
                connection.executemany(f"DELETE FROM {view} WHERE row = ?", old[first : first + _ROWS_AT_ONCE])
        return len(old)

    def put_late(self, cells: Iterable[LateCell], *, version: Stamp) -> int:
        rows = [
            (key_head(cell.video_id, cell.type), cell.step, cell.minute, *version, *_stored(cell.tally))
            for cell in cells
        ]
        return self._put("late", rows)

    def get_late(
        self, video_id: str, type: str, *, since: int, until: int, version: int, users: bool = True
    ) -> list[LateCell]:
        query = _GET_LATE.format(users="users" if users else "NULL")
        with self._reading, self._file.reading() as connection:
            found = connection.execute(query, (key_head(video_id, type), since, until, version)).fetchall()
        return [LateCell(video_id, type, step, minute, tally) for (_, step, minute), tally in _newest(found)]

    def scan_late(self, shard: int, *, version: int) -> Iterator[LateCell]:
        with self._file.reading() as connection:
            found = connection.execute(_SCAN_LATE, (*_bytes_of(shard), version)).fetchall()
        for (head, step, minute), tally in _newest(found):
            yield LateCell(*of_head(head), step, minute, tally)

    def remove_late(self, shard: int, *, before: int) -> int:
        bounds = (HOUR_STEPS, *_bytes_of(shard), before - before % HOUR_STEPS)
        with self._file.reading() as connection:
            old = connection.execute(_OLD_LATE, bounds).fetchall()
        for first in range(0, len(old), _ROWS_AT_ONCE):
            some = [(head, hour, HOUR_STEPS) for head, hour in old[first : first + _ROWS_AT_ONCE]]
            with self._file.writing() as connection:
                connection.executemany(_REMOVE_LATE, some)
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

    def _put(self, table: str, rows: Sequence[tuple[object, ...]]) -> int:
        if rows:
            put = _PUT.format(table=table, marks=", ".join("?" * len(rows[0])))
            with self._file.writing() as connection:
                connection.executemany(put, rows)
        return len(rows)

    def _create(self) -> None:
        """Make the tables that are missing; those of the layout before this one are taken over, in one transaction."""
        layout, before = (f"layout {number}, {SHARDS} shards".encode() for number in (_LAYOUT, _LAYOUT - 1))
        with self._file.writing() as connection:
            connection.execute(_DOCUMENTS)
            connection.execute("INSERT OR IGNORE INTO documents VALUES ('layout', ?)", (layout,))
            (found,) = connection.execute("SELECT body FROM documents WHERE name = 'layout'").fetchone()
            for statement in _FROM_LAYOUT_2 if found == before else ():
                connection.execute(statement)
            if found == before:
                connection.execute("UPDATE documents SET body = ? WHERE name = 'layout'", (layout,))
                found = layout
            for statement in _TABLES if found == layout else ():
                connection.execute(statement)
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


def _bytes_of(shard: int) -> tuple[bytes, bytes]:
    """[first, end) of the row keys of a shard. Shard 255 does not exist, so there is always a next byte."""
    return bytes((shard,)), bytes((shard + 1,))


def _cells_of(asked: CellSpan, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[CellKey, Tally]]:
    video_id, type_, (grain, _, _) = asked
    for (row, offset), tally in _newest(rows):
        yield CellKey(video_id, type_, bucket_at(grain, int.from_bytes(row[-4:], "big"), offset)), tally


def _newest(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], Tally]]:
    """Of rows (*key, version, tally, users), sorted by key and version: by key, the sum of what the newest version has.

    Of a batch cell that is one value, of a speed cell one of each generation.
    """
    newest: dict[tuple[Any, ...], tuple[int, list[tuple[bytes, bytes | None]]]] = {}
    for *key, version, tally, users in rows:
        seen = newest.get(at := tuple(key))
        if seen is not None and seen[0] == version:
            seen[1].append((tally, users))
        else:
            newest[at] = version, [(tally, users)]
    for at, (_, parts) in newest.items():
        yield at, Tally.from_bytes(*parts[0]) if len(parts) == 1 else Tally.total(starmap(Tally.from_bytes, parts))
