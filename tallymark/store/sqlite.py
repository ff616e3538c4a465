"""The embedded ViewStore: one SQLite file in WAL mode, read and written by many processes at once (ADR 11)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice, pairwise, starmap
from pathlib import Path
from typing import Any, Final

from tallymark.buckets import Bucket, Grain
from tallymark.cells import (
    HOUR_STEPS,
    Cell,
    CellKey,
    CellSpan,
    LateCell,
    bucket_at,
    bucket_starts,
    key_head,
    of_head,
    place,
    row_key,
    row_of,
)
from tallymark.errors import IncompatibleStore, StoreUnavailable
from tallymark.rows import PackedRow, tallies_in
from tallymark.store import Attempt, Stamp, View
from tallymark.store.sqlite_file import SqliteFile
from tallymark.store.sqlite_tables import DOCUMENTS, LAYOUT, TABLES, Query
from tallymark.tally import Tally

__all__ = ["SqliteViewStore"]

_ROWS_AT_ONCE: Final = 1000  # of one transaction: whoever puts cells meanwhile waits for it
_PUT_AT_ONCE: Final = 10_000  # the same, of rows that are put in their order: some 50 ms


class SqliteViewStore:
    """A ViewStore in the file `path`, made when it does not exist."""

    versions_kept = None

    def __init__(self, path: Path, *, any_layout: bool = False) -> None:
        """`any_layout`: for its documents alone."""
        self._file = SqliteFile(path, what="view store", error=StoreUnavailable)
        self._reading = threading.Lock()
        if not any_layout:
            self._create()

    def put(self, cells: Iterable[Cell], *, version: Stamp) -> int:
        return self._put("speed", [(*_address(cell), *version, *_stored(cell.tally)) for cell in cells])

    def put_rows(self, rows: Iterable[PackedRow], *, version: Attempt) -> int:
        put = Query.PUT_ROWS.format(version=version.number)
        remaining, count = iter(rows), 0
        while some := list(islice(remaining, _PUT_AT_ONCE)):
            with self._file.writing() as connection:
                connection.executemany(put, some)
            count += len(some)
        return count

    def get(self, view: View, spans: Iterable[CellSpan], *, version: int, users: bool = True) -> dict[CellKey, Tally]:
        found: dict[CellKey, Tally] = {}
        cells = _rows_cells if view is View.BATCH else _speed_cells
        query = (Query.ROWS if view is View.BATCH else Query.CELLS).format(users="users" if users else "NULL")
        # sqlite3 lets go of the interpreter at every row: threads that read at once would fight for it row by row, and
        # a burst of readers, once there, would take five times the work and never clear
        with self._reading, self._file.reading() as connection:
            for asked in spans:
                bounds = _row_bounds(asked) if view is View.BATCH else _bounds(asked)
                found.update(cells(asked, connection.execute(query, (*bounds, version))))
        return found

    def get_rows(self, keys: Iterable[bytes], *, version: int) -> dict[bytes, PackedRow]:
        query = Query.ROWS.format(users="users")
        with self._file.reading() as connection:
            rows = (connection.execute(query, (key, key, version)).fetchone() for key in keys)
            return {row[0]: PackedRow(*row) for row in rows if row is not None}

    def row_keys(self, shard: int, grain: Grain) -> Iterator[bytes]:
        with self._file.reading() as connection:
            for (row,) in connection.execute(Query.ROW_KEYS, (*_bytes_of(shard), bytes((grain,)))):
                yield row

    def prune(self, shard: int, *, keep: Sequence[int]) -> int:
        with self._file.reading() as connection:
            several = connection.execute(Query.SEVERAL_VERSIONS, _bytes_of(shard)).fetchall()
        old = [
            (row, version)
            for row, versions in several
            for version in _unseen(sorted(map(int, versions.split(","))), sorted(keep))
        ]
        for first in range(0, len(old), _ROWS_AT_ONCE):
            with self._file.writing() as connection:
                connection.executemany(Query.PRUNE, old[first : first + _ROWS_AT_ONCE])
        return len(old)

    def scan(self, view: View, shard: int, grain: Grain, *, version: int) -> Iterator[Cell]:
        query = Query.SCAN_ROWS if view is View.BATCH else Query.SCAN
        with self._file.reading() as connection:
            found = connection.execute(query, (*_bytes_of(shard), bytes((grain,)), version)).fetchall()
        cells = chain.from_iterable(starmap(_in_row, found)) if view is View.BATCH else _newest(found)
        for (row, offset), tally in cells:
            at = row_of(row)
            yield Cell(at.video_id, at.type, bucket_at(at.grain, at.start, offset), tally)

    def remove(self, shard: int, grain: Grain, *, before: int) -> int:
        bounds = (*_bytes_of(shard), bytes((grain,)), before.to_bytes(4, "big"))
        with self._file.reading() as connection:
            old = connection.execute(Query.OLD_ROWS, bounds).fetchall()
        for first in range(0, len(old), _ROWS_AT_ONCE):
            with self._file.writing() as connection:
                connection.executemany("DELETE FROM speed WHERE row = ?", old[first : first + _ROWS_AT_ONCE])
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
        query = Query.LATE.format(users="users" if users else "NULL")
        with self._reading, self._file.reading() as connection:
            found = connection.execute(query, (key_head(video_id, type), since, until, version)).fetchall()
        return [LateCell(video_id, type, step, minute, tally) for (_, step, minute), tally in _newest(found)]

    def scan_late(self, shard: int, *, version: int) -> Iterator[LateCell]:
        with self._file.reading() as connection:
            found = connection.execute(Query.SCAN_LATE, (*_bytes_of(shard), version)).fetchall()
        for (head, step, minute), tally in _newest(found):
            yield LateCell(*of_head(head), step, minute, tally)

    def remove_late(self, shard: int, *, before: int) -> int:
        bounds = (HOUR_STEPS, *_bytes_of(shard), before - before % HOUR_STEPS)
        with self._file.reading() as connection:
            old = connection.execute(Query.OLD_LATE, bounds).fetchall()
        for first in range(0, len(old), _ROWS_AT_ONCE):
            some = [(head, hour, HOUR_STEPS) for head, hour in old[first : first + _ROWS_AT_ONCE]]
            with self._file.writing() as connection:
                connection.executemany(Query.REMOVE_LATE, some)
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
            put = Query.PUT.format(table=table, marks=", ".join("?" * len(rows[0])))
            with self._file.writing() as connection:
                connection.executemany(put, rows)
        return len(rows)

    def _create(self) -> None:
        """Make the tables that are missing. Raises IncompatibleStore for those of another layout."""
        with self._file.writing() as connection:
            connection.execute(DOCUMENTS)
            connection.execute("INSERT OR IGNORE INTO documents VALUES ('layout', ?)", (LAYOUT,))
            (found,) = connection.execute("SELECT body FROM documents WHERE name = 'layout'").fetchone()
            for statement in TABLES if found == LAYOUT else ():
                connection.execute(statement)
        if found != LAYOUT:
            self.close()
            raise IncompatibleStore(
                f"{self._file.path} was made as {found.decode()!r}, this Tallymark needs {LAYOUT.decode()!r}; what "
                f"runs on it goes on: count into a new file by `tallymark recompute --into sqlite:/new/file`, "
                f"then start with TALLYMARK_STORE set to that"
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


def _row_bounds(asked: CellSpan) -> tuple[bytes, bytes]:
    first, _, last, _ = _bounds(asked)
    return first, last


def _stored(tally: Tally) -> tuple[bytes, bytes | None]:
    return tally.to_bytes(), None if tally.users is None else tally.users.to_bytes()


def _bytes_of(shard: int) -> tuple[bytes, bytes]:
    """[first, end) of the row keys of a shard. Shard 255 does not exist, so there is always a next byte."""
    return bytes((shard,)), bytes((shard + 1,))


def _rows_cells(asked: CellSpan, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[CellKey, Tally]]:
    """Of the rows of the batch view in a span, its cells."""
    video_id, type_, span = asked
    for row in map(PackedRow._make, rows):
        at = bucket_starts(span.grain, int.from_bytes(row.key[-4:], "big"))
        first, last = asked.offsets_in(row.key)
        for offset, tally in tallies_in(row, first=first, last=last):
            yield CellKey(video_id, type_, Bucket(span.grain, at[offset])), tally


def _unseen(versions: Sequence[int], keep: Sequence[int]) -> Iterator[int]:
    """Which of a row's `versions` nobody sees: between each and the next one there is none of `keep`, nor the last."""
    for version, later in pairwise(versions):
        at = bisect_left(keep, version)
        if at < len(keep) and keep[at] >= later:
            yield version


def _in_row(*columns: Any) -> Iterator[tuple[tuple[bytes, int], Tally]]:
    row = PackedRow(*columns)
    return (((row.key, offset), tally) for offset, tally in tallies_in(row))


def _speed_cells(asked: CellSpan, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[CellKey, Tally]]:
    video_id, type_, (grain, _, _) = asked
    for (row, offset), tally in _newest(rows):
        yield CellKey(video_id, type_, bucket_at(grain, int.from_bytes(row[-4:], "big"), offset)), tally


def _newest(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], Tally]]:
    """Of rows (*key, version, tally, users), sorted by key and version: by key, the sum of what the newest version has.

    That is one value of each generation.
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
