"""Rows of a file, in order, in portions: the columns that a mapping names, as the file has them.

A file's rows are numbered from 0, the same whenever it is read, also those that cannot be read. What a row says is kept
as text where the format has no types (CSV) or mixes them (NDJSON).
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from batch.importing.mapping import Mapping
from batch.importing.sources import Source, reading_source
from tallymark.errors import TallymarkError
from tallymark.event import is_one_a_line

__all__ = ["ROW_NUMBER", "Broken", "Rows", "line_of", "rows_of"]

ROW_NUMBER: Final = "\x00row"  # no column of a file is called so
_BLOCK: Final = 8_000_000
_ROWS: Final = 131_072
_NOT_UTF8: Final = "not valid UTF-8"
_WRONG: Final = "\ufdd0"  # in place of bytes that are not UTF-8; Unicode keeps it for such uses, so no text has it
_MARKING: Final = "tallymark.marking"
_MOST_SHOWN: Final = 300
codecs.register_error(_MARKING, lambda error: (_WRONG, error.end))  # type: ignore[attr-defined]


class Broken(NamedTuple):
    """A row that cannot be read, and why."""

    row: int
    reason: str


class Rows(NamedTuple):
    """Rows of a file up to `end`. `frame` has their numbers in ROW_NUMBER; `read`: bytes of the file until there."""

    frame: pl.DataFrame
    broken: Sequence[Broken]
    end: int
    read: int


def rows_of(source: Source, mapping: Mapping, *, start: int = 0) -> Iterator[Rows]:
    """From row `start` on. Raises TallymarkError when the file cannot be read, or lacks a column."""
    reader = {"parquet": _parquet, "csv": _csv, "ndjson": _ndjson}[source.format]
    with reading_source(source):
        for rows in reader(source, mapping):
            if rows.end > start:
                kept = rows.frame.filter(pl.col(ROW_NUMBER) >= start)
                yield rows._replace(frame=kept, broken=[one for one in rows.broken if one.row >= start])


def line_of(row: int, source: Source, mapping: Mapping) -> str:
    """Where people find a row."""
    if source.format == "parquet":
        return f"row {row + 1:,}"
    return f"line {row + 1 + (source.format == 'csv' and not mapping.csv.columns):,}"


def _parquet(source: Source, mapping: Mapping) -> Iterator[Rows]:
    with source.open_file() as stored:
        file = pq.ParquetFile(stored)
        _require(source, mapping, file.schema_arrow.names)
        row, total = 0, max(1, file.metadata.num_rows)
        for batch in file.iter_batches(_ROWS, columns=mapping.columns):
            frame = _framed(pl.DataFrame(pl.from_arrow(batch)), range(row, row + batch.num_rows))
            row += batch.num_rows
            yield Rows(frame, (), row, source.size * row // total)


def _csv(source: Source, mapping: Mapping) -> Iterator[Rows]:
    broken: list[Broken] = []
    header = not mapping.csv.columns

    def skip(bad: Any) -> str:
        reason = f"expected {bad.expected_columns} columns, got {bad.actual_columns}"
        broken.append(Broken(bad.number - 1 - header, reason))
        return "skip"

    stored, stream = source.open_stream()
    with stored, stream:
        text = _Marked(stream)
        reader = pacsv.open_csv(
            text,
            read_options=pacsv.ReadOptions(
                column_names=mapping.csv.columns or None, block_size=_BLOCK, use_threads=False
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=mapping.csv.delimiter,
                newlines_in_values=mapping.csv.line_breaks,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(mapping.columns, pa.large_string()),
                null_values=[""],
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        if any(_WRONG in name for name in reader.schema.names):
            raise TallymarkError(f"{source.name} is no CSV in UTF-8: its first line, of the columns' names, is no text")
        _require(source, mapping, reader.schema.names)
        row = 0
        for batch in reader:
            mine, later = [], []
            end = row + batch.num_rows
            for bad in broken:
                if bad.row <= end:
                    mine.append(bad)
                    end += 1
                else:
                    later.append(bad)
            broken[:] = later
            numbers = sorted(set(range(row, end)) - {bad.row for bad in mine}) if mine else range(row, end)
            frame = _framed(pl.DataFrame(pl.from_arrow(batch.select(mapping.columns))), numbers)
            frame, wrong = _without_wrong(frame, mapping.columns) if text.marked else (frame, [])
            row = end
            yield Rows(frame, [*mine, *wrong], row, stored.tell())
        if broken:
            nothing = pl.DataFrame(schema=dict.fromkeys(mapping.columns, pl.String))
            yield Rows(_framed(nothing, []), broken, broken[-1].row + 1, source.size)


class _Marked(io.RawIOBase):
    """A file in which _WRONG stands for what is not UTF-8, so that this is one row's trouble: pyarrow ends at a line
    of a wrong number of columns that it cannot decode. `marked`: whether there was any."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self.marked = False
        self._stream, self._rest = stream, b""
        self._decoder = codecs.getincrementaldecoder("utf-8")(_MARKING)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Never less than `size` before the end: pyarrow finds no line that begins in one read and ends in a third."""
        size = _BLOCK if size < 0 else size
        while len(self._rest) < size:
            block = self._stream.read(size)
            self._rest += self._right(block)
            if not block:
                break
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _right(self, block: bytes) -> bytes:
        if block.isascii() and not self._decoder.getstate()[0]:
            return block
        text = self._decoder.decode(block, final=not block)
        self.marked = self.marked or _WRONG in text
        return text.encode()


def _without_wrong(frame: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, list[Broken]]:
    wrong = pl.any_horizontal(pl.col(columns).str.contains(_WRONG, literal=True).fill_null(value=False))
    return frame.filter(~wrong), [Broken(row, _NOT_UTF8) for row in frame.filter(wrong)[ROW_NUMBER]]


def _ndjson(source: Source, mapping: Mapping) -> Iterator[Rows]:
    decode = _decoder(mapping.columns)
    stored, stream = source.open_stream()
    row, rest = 0, b""
    with stored, stream:
        while True:
            block = stream.read(_BLOCK)
            lines, _, rest = (rest + block).rpartition(b"\n") if block else (rest, b"", b"")
            if lines:
                numbers, values, broken, end = decode(lines.removeprefix(b"\xef\xbb\xbf") if not row else lines, row)
                columns = {name: _series(name, column) for name, column in zip(mapping.columns, values, strict=True)}
                row = end
                yield Rows(_framed(pl.DataFrame(columns), numbers), broken, row, stored.tell())
            if not block:
                return


_Decoded = tuple[Sequence[int], list[list[Any]], list[Broken], int]


def _decoder(columns: Sequence[str]) -> Callable[[bytes, int], _Decoded]:
    """Of some lines and the number of the first: the numbers of rows, their columns, broken ones, the next number.

    Values are texts and numbers; a row in which a column is anything else is broken. What no column is for is passed
    over.
    """
    names = [f"c{number}" for number in range(len(columns))]
    fields = [(name, str | int | float | bool | None, None) for name in names]
    row_type = msgspec.defstruct("Row", fields, rename=dict(zip(names, columns, strict=True)), gc=False)
    of_line = msgspec.json.Decoder(row_type)

    def decode(lines: bytes, first: int) -> _Decoded:
        count = lines.count(b"\n") + 1
        broken: list[Broken] = []
        numbers: Sequence[int] = range(first, first + count)
        try:
            rows = of_line.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            rows = []
        if not is_one_a_line(rows, lines):  # one is broken, or blank
            rows, numbers = [], []
            for number, line in enumerate(lines.split(b"\n"), first):
                if not line.strip():
                    continue
                try:
                    rows.append(of_line.decode(line))
                    numbers.append(number)
                except UnicodeDecodeError:
                    broken.append(Broken(number, _NOT_UTF8))
                except (msgspec.DecodeError, RecursionError) as error:
                    broken.append(Broken(number, _told(error, names, columns)))
        values = [[getattr(row, name) for row in rows] for name in names]
        return numbers, values, broken, first + count

    return decode


def _told(error: Exception, names: Sequence[str], columns: Sequence[str]) -> str:
    if isinstance(error, msgspec.ValidationError):
        return f"{str(error).replace('`', '')}: expected one JSON object whose columns are texts and numbers"
    return f"not valid JSON: {error}"


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return pl.Series(name, values, dtype=pl.String)
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    texts = [
        value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode() for value in values
    ]
    return pl.Series(name, texts, dtype=pl.String)


def _framed(frame: pl.DataFrame, numbers: Sequence[int]) -> pl.DataFrame:
    if isinstance(numbers, range):
        return frame.with_columns(pl.int_range(numbers.start, numbers.stop).alias(ROW_NUMBER))
    return frame.with_columns(pl.Series(ROW_NUMBER, numbers, dtype=pl.Int64))


def _require(source: Source, mapping: Mapping, there: Sequence[str]) -> None:
    if lacking := [name for name in mapping.columns if name not in there]:
        names = ", ".join(name if name.isprintable() else ascii(name) for name in there)
        shown = names if len(names) <= _MOST_SHOWN else f"{names[:_MOST_SHOWN]}…"
        hint = _other_delimiter(source, mapping, there, lacking)
        raise TallymarkError(f"{source.name} has no column {', '.join(lacking)}; it has {shown}{hint}")


def _other_delimiter(source: Source, mapping: Mapping, there: Sequence[str], lacking: Sequence[str]) -> str:
    """What to say where columns would be found if another sign stood between them."""
    if source.format != "csv" or mapping.csv.columns:
        return ""
    first_line = mapping.csv.delimiter.join(there)
    for sign, written in ((";", ";"), (",", ","), ("|", "|"), ("\t", "\\t")):
        if not {name.strip('"') for name in first_line.split(sign)}.isdisjoint(lacking):
            told = f'[csv] delimiter = "{written}"'
            return f'. Its columns seem to be set apart by "{written}": say so in the mapping, {told}'
    return ""
