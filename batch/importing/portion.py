"""Portions: rows of sources that become files of the raw table together, by one commit that also moves their marks.

A source is known by its content and the mapping that it is read with. Its mark, which says how far it is in, lies in
the table's log, in the commit that has the rows up to there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from batch.importing.columns import EVENT_COLUMNS, attribute_columns, events_in
from batch.importing.mapping import Mapping
from batch.importing.readers import ROW_NUMBER, Broken, rows_of
from batch.importing.sources import Source, content_of
from tallymark.documents.imports import Import, Span, merged, note_import
from tallymark.errors import ImportRefused
from tallymark.instants import HOUR, HOUR_MS, millis_of
from tallymark.raw import IMPORTED, ROW, RawTable
from tallymark.store import ViewStore

__all__ = ["Piece", "Portion", "Portions", "Writer", "pieces_of"]

_MAP: Final = next(column.type for column in ROW if column.name == "attributes")
_PLACES: Final = 1 << 40  # rows of a source, in the order of copies


class Piece(NamedTuple):
    """Some rows of a source, up to row `end`; `read`: bytes of it until there."""

    source: Source
    events: pl.DataFrame
    refused: list[Broken]
    rows: int
    end: int
    read: int


@dataclass
class Portion:
    """`marks` of its sources, before and after."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    marks: dict[str, tuple[int, int]] = field(default_factory=dict)
    rows: int = 0

    @property
    def events(self) -> pl.DataFrame:
        schema = {**EVENT_COLUMNS, ROW_NUMBER: pl.Int64, "log_offset": pl.Int64}
        return pl.concat(self.frames) if self.frames else pl.DataFrame(schema=schema)

    def take(self, key: str, piece: Piece, start: int) -> None:
        order = int(key[:5], 16) * _PLACES
        self.frames.append(piece.events.with_columns(log_offset=pl.col(ROW_NUMBER) + order))
        self.reach(key, start, _mark(piece.end))
        self.rows += piece.rows

    def reach(self, key: str, start: int, mark: int) -> None:
        before, _ = self.marks.get(key, (_mark(start), 0))
        self.marks[key] = (before, mark)


def _mark(rows: int, *, finished: bool = False) -> int:
    """How many rows are in, and whether those are all: 0 of nothing."""
    return 2 * rows + finished


class Portions:
    """The portions of sources, of about `rows` rows. What is in already is passed over, and named in `before`."""

    def __init__(
        self, sources: Sequence[Source], mapping: Mapping, writer: Writer, *, until: datetime, rows: int
    ) -> None:
        self.before: list[str] = []
        self._sources, self._mapping, self._writer = sources, mapping, writer
        self._until, self._rows = until, rows
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[tuple[Piece | None, Portion | None]]:
        """Each piece as it is read, and each portion that is complete with it."""
        portion = Portion()
        for source in self._sources:
            content = content_of(source)
            key = sha256(f"{content} {self._mapping.digest}".encode()).hexdigest()[:32]
            mark = self._writer.mark(key)
            if key in self._seen or mark % 2:
                self.before.append(source.name)
                continue
            self._seen.add(key)
            at = mark // 2
            for piece in pieces_of(source, content, self._mapping, until=self._until, start=at):
                portion.take(key, piece, at)
                at = piece.end
                full = portion.rows >= self._rows
                yield piece, portion if full else None
                portion = Portion() if full else portion
            portion.reach(key, at, _mark(at, finished=True))
        if portion.marks:
            yield None, portion


def pieces_of(source: Source, content: str, mapping: Mapping, *, until: datetime, start: int = 0) -> Iterator[Piece]:
    """Of events that occurred before `until`; others are refused."""
    for rows in rows_of(source, mapping, start=start):
        made = events_in(rows.frame, mapping, content, before_ms=millis_of(until))
        count = rows.frame.height + len(rows.broken)
        yield Piece(source, made.frame, sorted([*rows.broken, *made.refused]), count, rows.end, rows.read)


class Writer:
    """Puts portions into the table, one after the other. Its events stand before `taken_before` in the log's order.

    What it did by now: `events` in `files`, by `commits`.
    """

    def __init__(
        self, table: RawTable, store: ViewStore, mapping: Mapping, *, taken_before: datetime, now: datetime
    ) -> None:
        self.events = self.files = self.commits = 0
        self._table, self._store = table, store
        self._attributes = attribute_columns(mapping)
        self._commits = table.importing(store)
        self._taken_before, self._now = taken_before, now
        self._spans: list[Span] = []

    def mark(self, key: str) -> int:
        """May be asked while another thread writes."""
        return self._commits.mark(key)

    def write(self, portion: Portion) -> None:
        """Raises ImportRefused when another import has taken some of it meanwhile."""
        events = portion.events
        files = self._table.write(self._as_rows(events))
        self._spans = merged([*self._spans, *_hours_of(events)])
        rows = self.events + events.height

        def note(version: int) -> None:
            if rows:
                self._note(rows, version)

        if not self._commits.add(files, portion.marks, note=note):
            raise ImportRefused(
                "another import of the same files is under way, and was quicker: let it finish. What it has not taken "
                "by then, this command takes when it is run again"
            )
        self.events = rows
        self.files += len(files)
        self.commits += 1

    def _note(self, rows: int, version: int) -> None:
        done = Import(
            name=self._now.isoformat(),
            begun_at=self._now,
            taken_before=self._taken_before,
            spans=self._spans,
            rows=rows,
            raw_version=version,
        )
        note_import(self._store, done)

    def _as_rows(self, events: pl.DataFrame) -> pa.Table:
        taken_ms = millis_of(self._taken_before) - 1
        whole = events.with_columns(
            appended_at=pl.lit(taken_ms, pl.Int64),
            log_partition=pl.lit(IMPORTED, pl.Int32),
            clock_ahead_ms=pl.lit(None, pl.Int64),
            not_counted=pl.lit(None, pl.String),
        )
        plain = [column for column in ROW if column.name != "attributes"]
        table = whole.select(column.name for column in plain).to_arrow().cast(pa.schema(plain))
        table = table.append_column("attributes", _attributes(events, self._attributes))
        return table.select([column.name for column in ROW])


def _attributes(events: pl.DataFrame, columns: dict[str, str]) -> pa.Array:
    """As the raw table has them, of `columns` and the attributes that these are of; null of an event without any."""
    if not columns or not events.height:
        return pa.nulls(events.height, _MAP)
    pairs = [
        pl.when(pl.col(column).is_not_null()).then(pl.struct(key=pl.lit(name), value=pl.col(column)))
        for column, name in columns.items()
    ]
    lists = events.select(made=pl.concat_list(pairs).list.drop_nulls())
    mapped = lists.select(pl.when(pl.col("made").list.len() > 0).then("made")).to_series().to_arrow()
    keys, values = (mapped.values.field(name).cast(pa.string()) for name in ("key", "value"))
    offsets = mapped.offsets.cast(pa.int32())
    without = mapped.is_null()
    starts = pa.array(offsets.to_numpy(), mask=np.append(without.to_numpy(zero_copy_only=False), False))
    return pa.MapArray.from_arrays(starts, keys, values)


def _hours_of(events: pl.DataFrame) -> list[Span]:
    hours = np.unique(events["occurred_at"].to_numpy() // HOUR_MS) * HOUR
    return [(int(hour), int(hour) + HOUR) for hour in hours]
