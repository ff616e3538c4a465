"""Cells in HBase's columns and back, against an HBase that is a dict: no server."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.buckets import Bucket, Grain, Span
from tallymark.cells import Cell, CellKey, CellSpan, bucket_at, place, row_key
from tallymark.sketch import Sketch
from tallymark.store import Attempt, Stamp, View
from tallymark.store.hbase import layout
from tallymark.tally import Tally
from tests.support import strategies

NOON = 29_454_480
Table = dict[tuple[bytes, bytes], dict[int, bytes]]  # (row, column) → timestamp → value

versions = st.builds(Attempt, st.integers(1, 5)) | st.builds(Stamp, st.integers(0, 5), st.integers(0, 5))
short_spans = st.builds(CellSpan, strategies.some_videos, strategies.types, strategies.spans())


def put(table: Table, cells: Iterable[Cell], version: Attempt | Stamp) -> None:
    for chunk in layout.chunks(cells, version=version, most_bytes=200):
        for row, columns in chunk.rows.items():
            for column, value in columns.items():
                table.setdefault((row, column), {})[layout.timestamp(version)] = value


def row_at(table: Table, row: bytes, before: int | None) -> dict[bytes, bytes]:
    """What HBase returns: of each column the value with the highest timestamp below `before`."""
    seen = {}
    for (of, column), values in table.items():
        stamps = [stamp for stamp in values if before is None or stamp < before]
        if of == row and stamps:
            seen[column] = values[max(stamps)]
    return seen


def view_of(version: Attempt | Stamp) -> View:
    return View.SPEED if isinstance(version, Stamp) else View.BATCH


@strategies.thorough
@given(strategies.cells(), versions)
def test_a_cell_comes_back_from_its_columns(cell: Cell, version: Attempt | Stamp) -> None:
    view, table = view_of(version), Table()
    put(table, [cell], version)
    (row,) = {row for row, _ in table}
    number = version.epoch if isinstance(version, Stamp) else version.number
    for asked, seen in ((number, [cell]), (number + 1, [cell]), (number - 1, [])):
        if asked >= 0:
            columns = row_at(table, row, layout.read_before(view, asked))
            assert list(layout.cells_in(view, row, columns, version=asked)) == seen


@strategies.thorough
@given(short_spans, versions, st.randoms(use_true_random=False))
def test_a_span_finds_its_own_cells_in_the_rows_around_it(
    asked: CellSpan, version: Attempt | Stamp, random: Random
) -> None:
    view, table = view_of(version), Table()
    video_id, type_, (grain, start, end) = asked
    first_row, last_row = place(asked.span.first)[0], place(asked.span.last)[0]
    around = [bucket_at(grain, row, offset) for row in (first_row, last_row) for offset in range(3)]
    buckets = {*around, *(b for b in asked.span.buckets() if random.random() < 0.7)}
    cells = [Cell(video_id, type_, bucket, Tally(n, n, 0, n)) for n, bucket in enumerate(sorted(buckets), start=1)]
    put(table, cells, version)
    rows = {row: row_at(table, row, layout.read_before(view, 9)) for row, _ in table}
    expected = {cell.key: cell.tally for cell in cells if start <= cell.bucket.start < end}

    wanted = layout.pieces([asked])
    by_name: dict[CellKey, Tally] = {}
    for row in wanted.keys() & rows.keys():
        by_name |= dict(layout.found_in(view, row, rows[row], wanted[row], version=9))
    assert by_name == expected
    assert len(wanted) <= layout.most_rows(asked) <= len(wanted) + 2

    first, stop = layout.row_range(asked)
    assert all(first <= row < stop for row in wanted)
    by_range: dict[CellKey, Tally] = {}
    for row in (row for row in rows if first <= row < stop):
        by_range |= dict(layout.found_in(view, row, rows[row], [layout.piece_of(asked, row)], version=9))
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
        cells = list(layout.cells_in(View.SPEED, row, row_at(table, row, None), version=asked))
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
    chunks = list(layout.chunks(cells, version=Attempt(1), most_bytes=1_000))
    assert [chunk.cells for chunk in chunks] == [28, 28, 28, 28, 8]
    assert [len(chunk.rows) for chunk in chunks] == [1, 1, 2, 1, 1]
    whole = list(layout.chunks(cells, version=Attempt(1), most_bytes=1_000_000))
    assert [(chunk.cells, len(chunk.rows)) for chunk in whole] == [(120, 2)]
    assert list(layout.chunks([], version=Attempt(1), most_bytes=1)) == []


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


def test_a_sketch_of_an_older_version_is_not_taken_for_one_of_the_newer() -> None:
    table: Table = {}
    bucket = Bucket(Grain.MINUTE, NOON)
    known, unknown = Tally(2, 2, 1, 1, Sketch.of(["a", "b"])), Tally(1, 1, 1, 1)
    put(table, [Cell("v", "view", bucket, known)], Attempt(1))
    put(table, [Cell("v", "view", bucket, unknown)], Attempt(2))
    row = row_key("v", "view", Grain.MINUTE, NOON)
    for asked, seen in ((1, known), (2, unknown)):
        columns = row_at(table, row, layout.read_before(View.BATCH, asked))
        assert [cell.tally for cell in layout.cells_in(View.BATCH, row, columns, version=asked)] == [seen]
        numbers = {column: value for column, value in columns.items() if column.startswith(b"c:")}
        (cell,) = layout.cells_in(View.BATCH, row, numbers, version=asked)
        assert (cell.tally.count, cell.tally.users) == (seen.count, None)
