"""Cells in HBase's columns and back, against an HBase that is a dict: no server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import Cell, CellKey, CellSpan, bucket_at, place, row_key
from tallymark.rows import pack
from tallymark.sketch import Sketch
from tallymark.store import Stamp
from tallymark.store.hbase import batch_layout, layout
from tallymark.tally import Tally
from tests.support import strategies

NOON = 29_454_480
Table = dict[tuple[bytes, bytes], dict[int, bytes]]  # (row, column) → timestamp → value

stamps = st.builds(Stamp, st.integers(0, 5), st.just(0), st.integers(0, 5))
short_spans = st.builds(CellSpan, strategies.some_videos, strategies.types, strategies.spans())


def keep(table: Table, chunks: Iterable[layout.Chunk], timestamp: int) -> None:
    for chunk in chunks:
        for row, columns in chunk.rows.items():
            for column, value in columns.items():
                table.setdefault((row, column), {})[timestamp] = value


def put(table: Table, cells: Iterable[Cell], version: Stamp) -> None:
    keep(table, layout.chunks(cells, version=version, most_bytes=200), layout.timestamp(version))


def put_rows(table: Table, cells: Iterable[Cell], attempt: int) -> None:
    keep(table, batch_layout.chunks(pack(cells), most_bytes=200), attempt)


def row_at(table: Table, row: bytes, before: int | None) -> dict[bytes, bytes]:
    """What HBase returns: of each column the value with the highest timestamp below `before`."""
    seen = {}
    for (of, column), values in table.items():
        stamps = [stamp for stamp in values if before is None or stamp < before]
        if of == row and stamps:
            seen[column] = values[max(stamps)]
    return seen


@strategies.thorough
@given(strategies.cells(), stamps)
def test_a_cell_comes_back_from_its_columns(cell: Cell, version: Stamp) -> None:
    table = Table()
    put(table, [cell], version)
    (row,) = {row for row, _ in table}
    for asked, seen in ((version.epoch, [cell]), (version.epoch + 1, [cell]), (version.epoch - 1, [])):
        assert list(layout.cells_in(row, row_at(table, row, None), version=asked)) == seen


@strategies.thorough
@given(short_spans, st.booleans(), st.randoms(use_true_random=False))
def test_a_span_finds_its_own_cells_in_the_rows_around_it(asked: CellSpan, batch: bool, random: Random) -> None:
    table = Table()
    video_id, type_, (grain, start, end) = asked
    first_row, last_row = place(asked.span.first)[0], place(asked.span.last)[0]
    around = [bucket_at(grain, row, offset) for row in (first_row, last_row) for offset in range(3)]
    buckets = {*around, *(b for b in asked.span.buckets() if random.random() < 0.7)}
    cells = [Cell(video_id, type_, bucket, Tally(n, n, 0, n)) for n, bucket in enumerate(sorted(buckets), start=1)]
    if batch:
        put_rows(table, cells, 3)
        found_in = batch_layout.found_in
    else:
        put(table, cells, Stamp(3, 0, 1))
        found_in = partial(layout.found_in, version=9)
    rows = {row: row_at(table, row, 10 if batch else None) for row, _ in table}
    expected = {cell.key: cell.tally for cell in cells if start <= cell.bucket.start < end}

    wanted = layout.pieces([asked])
    by_name: dict[CellKey, Tally] = {}
    for row in wanted.keys() & rows.keys():
        by_name |= dict(found_in(row, rows[row], wanted[row]))
    assert by_name == expected
    assert len(wanted) <= layout.most_rows(asked) <= len(wanted) + 2

    first, stop = layout.row_range(asked)
    assert all(first <= row < stop for row in wanted)
    by_range: dict[CellKey, Tally] = {}
    for row in (row for row in rows if first <= row < stop):
        by_range |= dict(found_in(row, rows[row], [layout.Piece(asked, *asked.offsets_in(row))]))
    assert by_range == expected


@strategies.quick
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=12))
def test_of_speed_cells_the_newest_epoch_wins_and_in_it_the_highest_micro_batch(puts: list) -> None:
    table: Table = {}
    best: dict[int, tuple[int, int]] = {}
    for epoch, micro_batch, count in puts:
        put(table, [Cell("v", "view", Bucket(Grain.MINUTE, NOON), Tally(count, 0, 0, 0))], Stamp(epoch, 0, micro_batch))
        if epoch not in best or micro_batch >= best[epoch][0]:
            best[epoch] = micro_batch, count
    row = row_key("v", "view", Grain.MINUTE, NOON)
    for asked in range(5):
        cells = list(layout.cells_in(row, row_at(table, row, None), version=asked))
        seen = [best[max(epoch for epoch in best if epoch <= asked)][1]] if min(best) <= asked else []
        assert [cell.tally.count for cell in cells] == seen


@strategies.thorough
@given(strategies.cells(), strategies.grains)
def test_the_filter_of_a_grain_passes_all_its_rows(cell: Cell, grain: Grain) -> None:
    """Read as Java reads it: bytes that are no UTF-8 become one character each, or one for several of them."""
    row = row_key(cell.video_id, cell.type, cell.bucket.grain, place(cell.bucket)[0])
    pattern = re.search(rb"regexstring:(.*)'\)$", layout.grain_filter(grain))
    assert pattern
    expression = pattern[1].decode().replace(r"\z", r"\Z")
    passes = re.search(expression, row.decode(errors="replace"), re.DOTALL) is not None
    assert passes or cell.bucket.grain is not grain


def test_the_filter_of_hours_keeps_out_minutes_of_this_century() -> None:
    hours = layout.grain_filter(Grain.HOUR)
    expression = hours[hours.index(b":") + 1 : -2].decode().replace(r"\z", r"\Z")
    rows = (row_key("v", "view", Grain.MINUTE, minute) for minute in range(15_778_080, 68_000_000, 60 * 997))
    passed = [row for row in rows if re.search(expression, row.decode(errors="replace"), re.DOTALL)]
    assert len(passed) <= 1


def test_cells_are_put_in_chunks_grouped_by_row() -> None:
    cells = [Cell("v", "view", Bucket(Grain.MINUTE, NOON + n), Tally(1, 1, 1, 1)) for n in range(120)]
    chunks = list(layout.chunks(cells, version=Stamp(1, 0, 1), most_bytes=1_000))
    assert [chunk.cells for chunk in chunks] == [28, 28, 28, 28, 8]
    assert [len(chunk.rows) for chunk in chunks] == [1, 1, 2, 1, 1]
    whole = list(layout.chunks(cells, version=Stamp(1, 0, 1), most_bytes=1_000_000))
    assert [(chunk.cells, len(chunk.rows)) for chunk in whole] == [(120, 2)]
    assert list(layout.chunks([], version=Stamp(1, 0, 1), most_bytes=1)) == []


def test_rows_are_put_in_chunks() -> None:
    cells = [Cell(f"v{n}", "view", Bucket(Grain.MINUTE, NOON), Tally(1, 1, 1, 1)) for n in range(25)]
    chunks = list(batch_layout.chunks(pack(cells), most_bytes=1_000))
    assert [chunk.cells for chunk in chunks] == [12, 12, 1]
    assert list(batch_layout.chunks([], most_bytes=1)) == []


def test_an_epoch_that_does_not_fit_its_bytes_is_refused() -> None:
    cell = Cell("v", "view", Bucket(Grain.MINUTE, NOON), Tally(1, 1, 1, 1))
    with pytest.raises(ValueError, match="epoch 65536 does not fit"):
        list(layout.chunks([cell], version=Stamp(65_536, 0, 0), most_bytes=1))


def test_a_century_of_minutes_is_measured_without_walking_it() -> None:
    century = CellSpan("v", "view", Span(Grain.MINUTE, NOON, NOON + 100 * 525_600))
    assert layout.most_rows(century) == 100 * 8760 + 2


@given(st.binary(max_size=50))
def test_a_stored_document_is_never_empty_and_comes_back(body: bytes) -> None:
    assert layout.stored(body)
    assert layout.body_of({layout.BODY: layout.stored(body)}) == body


def test_a_reader_of_a_version_sees_the_row_of_that_version_whole() -> None:
    table: Table = {}
    bucket, later = Bucket(Grain.MINUTE, NOON), Bucket(Grain.MINUTE, NOON + 5)
    known, unknown = Tally(2, 2, 1, 1, Sketch.of(["a", "b"])), Tally(1, 1, 1, 1)
    put_rows(table, [Cell("v", "view", bucket, known), Cell("v", "view", later, known)], 1)
    put_rows(table, [Cell("v", "view", bucket, unknown)], 2)
    row = row_key("v", "view", Grain.MINUTE, NOON)
    for asked, seen in ((1, [known, known]), (2, [unknown])):
        columns = row_at(table, row, batch_layout.read_before(asked))
        assert [cell.tally for cell in batch_layout.cells_in(row, columns)] == seen
        numbers = {column: value for column, value in columns.items() if column.startswith(b"c:")}
        found = [cell.tally for cell in batch_layout.cells_in(row, numbers)]
        assert [(tally.count, tally.users) for tally in found] == [(tally.count, None) for tally in seen]
