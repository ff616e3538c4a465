"""The ViewStore of a cluster: HBase, through its Thrift servers. `layout` says how cells lie there.

Whatever range is asked for, a read of a view is one multi-get: adjacent buckets share rows, and ten years are a handful
of them. Only a range without end is scanned instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Final, Self

from tallymark.buckets import Grain
from tallymark.cells import HOUR_STEPS, Cell, CellKey, CellSpan, LateCell
from tallymark.errors import IncompatibleStore
from tallymark.rows import PackedRow
from tallymark.store import Attempt, Stamp, View
from tallymark.store.hbase import batch_layout, late_layout, layout
from tallymark.store.hbase.address import HBaseAddress
from tallymark.store.hbase.connection import Connection, Page, Row
from tallymark.store.hbase.pool import Pool, PoolState
from tallymark.store.hbase.tables import LAYOUT, Tables, verify
from tallymark.tally import Tally

__all__ = ["HBaseViewStore"]

_READ_SECONDS: Final = 2.5  # of two silent servers, one after the other: a reader knows within six
_WORK_SECONDS: Final = 30.0  # a put waits inside the server while a region moves
_PATIENCE_SECONDS: Final = 20.0  # a writer waits for a server that is started again; a reader wants to know now
_PUT_PATIENCE_SECONDS: Final = 60.0  # who puts cells waits for all of HBase: a stream that starts anew takes longer
_PUT_BYTES: Final = 3_000_000  # of one call
_ROWS_AT_ONCE: Final = 500  # of one multi-get
_ROWS_BY_NAME: Final = 50  # a span of more rows is scanned: as fast where they are full, faster where not
_PAGE_BYTES: Final = 1_000_000  # of one page of a scan, about
_FIRST_PAGE: Final = 100  # rows
_LONGEST_PAGE: Final = 2_000
_NUMBERS: Final = (layout.NUMBERS,)
_ALL: Final = (layout.NUMBERS, layout.USERS)
_FoundIn = Callable[[bytes, layout.Columns, Iterable[layout.Piece]], Iterator[tuple[CellKey, Tally]]]


class HBaseViewStore:
    """A ViewStore in the tables `<prefix>speed`, `<prefix>batch` and `<prefix>meta`, which must be there.

    Raises IncompatibleStore when they are not, or were made with other settings.
    """

    versions_kept = layout.VERSIONS["batch"]

    def __init__(self, pool: Pool, *, prefix: str, any_layout: bool = False) -> None:
        """`any_layout`: for its documents alone."""
        self._pool = pool
        self._tables = Tables.of(prefix)
        if not any_layout:
            self._pool.call(lambda connection: verify(connection, self._tables), within=_WORK_SECONDS)
            self._agree_on_layout()

    @classmethod
    def open(cls, url: str, *, any_layout: bool = False) -> Self:
        """`url`: hbase://host:port,host:port?prefix=tallymark_"""
        place = HBaseAddress.of(url)
        return cls(Pool(place.servers), prefix=place.prefix, any_layout=any_layout)

    @property
    def state(self) -> PoolState:
        """How the Thrift servers are doing."""
        return self._pool.state

    def put(self, cells: Iterable[Cell], *, version: Stamp) -> int:
        chunks = layout.chunks(cells, version=version, most_bytes=_PUT_BYTES)
        return self._put(self._tables.speed, chunks, timestamp=layout.timestamp(version))

    def put_rows(self, rows: Iterable[PackedRow], *, version: Attempt) -> int:
        chunks = batch_layout.chunks(rows, most_bytes=_PUT_BYTES)
        return self._put(self._tables.batch, chunks, timestamp=version.number)

    def get(self, view: View, spans: Iterable[CellSpan], *, version: int, users: bool = True) -> dict[CellKey, Tally]:
        table, before, found_in = self._reading(view, version)
        families = _ALL if users else _NUMBERS
        found: dict[CellKey, Tally] = {}
        by_name: list[CellSpan] = []
        for asked in spans:
            if layout.most_rows(asked) <= _ROWS_BY_NAME:
                by_name.append(asked)
                continue
            for row, columns in self._walk(table, *layout.row_range(asked), families=families, before=before):
                found.update(found_in(row, columns, [layout.Piece(asked, *asked.offsets_in(row))]))
        wanted = layout.pieces(by_name)
        for row, columns in self._rows(table, wanted, families=families, before=before):
            found.update(found_in(row, columns, wanted[row]))
        return found

    def get_rows(self, keys: Iterable[bytes], *, version: int) -> dict[bytes, PackedRow]:
        before = batch_layout.read_before(version)
        found = self._rows(self._tables.batch, keys, families=_ALL, before=before)
        return {row: batch_layout.row_in(row, columns) for row, columns in found}

    def row_keys(self, shard: int, grain: Grain) -> Iterator[bytes]:
        of_shard, of_grain = (bytes((shard,)), bytes((shard + 1,))), layout.grain_filter(grain)
        rows = self._walk(self._tables.batch, *of_shard, families=_NUMBERS, only=of_grain, within=_WORK_SECONDS)
        return (row for row, _ in rows if row[-5] == grain)

    def prune(self, shard: int, *, keep: Sequence[int]) -> int:
        return 0

    def scan(self, view: View, shard: int, grain: Grain, *, version: int) -> Iterator[Cell]:
        batch = view is View.BATCH
        before = batch_layout.read_before(version) if batch else None
        table, of_grain = self._tables.holding(view), layout.grain_filter(grain)
        of_shard = bytes((shard,)), bytes((shard + 1,))
        rows = self._walk(table, *of_shard, families=_ALL, before=before, only=of_grain, within=_WORK_SECONDS)
        for row, columns in rows:
            if row[-5] == grain:
                yield from (
                    batch_layout.cells_in(row, columns) if batch else layout.cells_in(row, columns, version=version)
                )

    def remove(self, shard: int, grain: Grain, *, before: int) -> int:
        table, of_grain = self._tables.speed, layout.grain_filter(grain)
        of_shard = bytes((shard,)), bytes((shard + 1,))
        rows = self._walk(table, *of_shard, families=_NUMBERS, only=of_grain, within=_WORK_SECONDS)
        old = (row for row, _ in rows if row[-5] == grain and int.from_bytes(row[-4:], "big") < before)
        return self._remove(table, old, families=_ALL)

    def put_late(self, cells: Iterable[LateCell], *, version: Stamp) -> int:
        chunks = late_layout.chunks(cells, version=version, most_bytes=_PUT_BYTES)
        return self._put(self._tables.speed, chunks, timestamp=layout.timestamp(version))

    def get_late(
        self, video_id: str, type: str, *, since: int, until: int, version: int, users: bool = True
    ) -> list[LateCell]:
        families = _ALL if users else _NUMBERS
        if until - since <= _ROWS_BY_NAME * HOUR_STEPS:
            names = late_layout.rows_between(video_id, type, since, until)
            found = iter(sorted(self._rows(self._tables.speed, names, families=families)))
        else:
            found = self._walk(self._tables.speed, *late_layout.rows_since(video_id, type, since), families=families)
        cells = chain.from_iterable(late_layout.cells_in(*row, version=version) for row in found)
        return [cell for cell in cells if since <= cell.step < until]

    def scan_late(self, shard: int, *, version: int) -> Iterator[LateCell]:
        for row, columns in self._late_rows(shard, families=_ALL):
            yield from late_layout.cells_in(row, columns, version=version)

    def remove_late(self, shard: int, *, before: int) -> int:
        rows = self._late_rows(shard, families=_NUMBERS)
        return self._remove(
            self._tables.speed, (row for row, _ in rows if late_layout.end_of(row) <= before), families=_ALL
        )

    def read_document(self, name: str) -> bytes | None:
        return self.read_documents([name])[0]

    def read_documents(self, names: Sequence[str]) -> list[bytes | None]:
        keys = [name.encode() for name in names]
        found = dict(self._rows(self._tables.meta, keys, families=_NUMBERS))
        return [layout.body_of(found[key]) if key in found else None for key in keys]

    def write_document(self, name: str, body: bytes) -> None:
        # from whatever is there: what a server that hung does hours later finds something else, and changes nothing
        def write(connection: Connection) -> None:
            while not self._swap(connection, name, self._document(connection, name), body):
                pass

        self._pool.call(write, within=_WORK_SECONDS, patience=_PATIENCE_SECONDS)

    def swap_document(self, name: str, expected: bytes | None, body: bytes) -> bool:
        sent = False

        def swap(connection: Connection) -> bool:
            nonlocal sent
            if sent:  # and nobody knows what became of it
                now = self._document(connection, name)
                if now != expected:
                    return now == body
            sent = True
            return self._swap(connection, name, expected, body)

        return self._pool.call(swap, within=_WORK_SECONDS, patience=_PATIENCE_SECONDS)

    def list_documents(self, prefix: str, *, after: str = "") -> list[tuple[str, bytes]]:
        # U+10FFFF sorts after every character that a name holds
        start, stop = max(prefix.encode(), layout.after(after.encode())), f"{prefix}\U0010ffff".encode()
        rows = self._walk(self._tables.meta, start, stop, families=_NUMBERS) if start < stop else ()
        return [(row.decode(), layout.body_of(columns)) for row, columns in rows]

    def remove_documents(self, names: Iterable[str]) -> None:
        self._remove(self._tables.meta, (name.encode() for name in names), families=_NUMBERS)

    def close(self) -> None:
        self._pool.close()

    def _reading(self, view: View, version: int) -> tuple[bytes, int | None, _FoundIn]:
        """The table, the timestamp before which is read, and what finds the cells of a row."""
        if view is View.BATCH:
            return self._tables.batch, batch_layout.read_before(version), batch_layout.found_in
        return self._tables.speed, None, partial(layout.found_in, version=version)

    def _put(self, table: bytes, chunks: Iterable[layout.Chunk], *, timestamp: int) -> int:
        count = 0
        for chunk in chunks:
            put = partial(Connection.put, table=table, rows=chunk.rows, timestamp=timestamp)
            self._pool.call(put, within=_WORK_SECONDS, patience=_PUT_PATIENCE_SECONDS)
            count += chunk.cells
        return count

    def _late_rows(self, shard: int, *, families: Sequence[bytes]) -> Iterator[Row]:
        of_shard = bytes((shard,)), bytes((shard + 1,))
        only = late_layout.late_filter()
        rows = self._walk(self._tables.speed, *of_shard, families=families, only=only, within=_WORK_SECONDS)
        return (row for row in rows if late_layout.is_late(row[0]))

    def _remove(self, table: bytes, rows: Iterator[bytes], *, families: Sequence[bytes]) -> int:
        count = 0
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            remove = partial(Connection.remove, table=table, rows=some, families=families)
            self._pool.call(remove, within=_WORK_SECONDS, patience=_PATIENCE_SECONDS)
            count += len(some)
        return count

    def _document(self, connection: Connection, name: str) -> bytes | None:
        found = connection.rows(self._tables.meta, [name.encode()], families=_NUMBERS)
        return layout.body_of(found[0][1]) if found else None

    def _swap(self, connection: Connection, name: str, expected: bytes | None, body: bytes) -> bool:
        before = None if expected is None else layout.stored(expected)
        return connection.swap(
            self._tables.meta, name.encode(), layout.BODY, expected=before, value=layout.stored(body)
        )

    def _rows(
        self, table: bytes, keys: Iterable[bytes], *, families: Sequence[bytes], before: int | None = None
    ) -> Iterator[Row]:
        """Those of the rows that exist: one round trip, unless there are hundreds."""
        remaining = iter(keys)
        while some := list(islice(remaining, _ROWS_AT_ONCE)):
            rows = partial(Connection.rows, table=table, keys=some, families=families, before=before)
            yield from self._pool.call(rows, within=_READ_SECONDS)

    def _walk(
        self,
        table: bytes,
        start: bytes,
        stop: bytes,
        *,
        families: Sequence[bytes],
        before: int | None = None,
        only: bytes | None = None,
        within: float = _READ_SECONDS,
    ) -> Iterator[Row]:
        """The rows in [start, stop) in order, page by page: a server that dies meanwhile costs one page."""
        most = _FIRST_PAGE
        while True:
            page = Page(start, stop, most, families, before, only)
            rows = self._pool.call(partial(Connection.page, table=table, page=page), within=within)
            yield from rows
            if len(rows) < most:
                return
            start = layout.after(rows[-1][0])
            most = _next_page(rows)

    def _agree_on_layout(self) -> None:
        found = self.read_document("layout")
        if found is None:
            self.swap_document("layout", None, LAYOUT)
            found = self.read_document("layout")
        if found != LAYOUT:
            self.close()
            raise IncompatibleStore(
                f"{self._tables.meta.decode()} and its tables were filled as {(found or b'').decode()!r}, this "
                f"Tallymark needs {LAYOUT.decode()!r}; what runs on them goes on: make tables of another prefix, count "
                f"into them by `tallymark recompute --into 'hbase://…?prefix=new_'`, then set TALLYMARK_STORE to that"
            )


def _next_page(rows: Sequence[Row]) -> int:
    """As many rows like these as make a page: rows of large sketches are a thousand times those of a few counts."""
    size = sum(len(value) for _, columns in rows for value in columns.values())
    return max(1, min(_LONGEST_PAGE, len(rows) * _PAGE_BYTES // max(1, size)))
