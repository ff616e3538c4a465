"""The rows of a result, as they come: a table for people, CSV, an object of JSON a line, Parquet, an Arrow stream."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import pyarrow as pa

from tallymark.errors import InvalidQuestion
from tallymark.sql.session import Result

__all__ = ["show", "write_arrow", "write_csv", "write_json", "write_parquet"]

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_SHOWN: Final = 50
_WIDEST: Final = 60


def show(result: Result) -> None:
    """The first 50 rows, and a line that says when there are more."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    drawn = Table(box=SIMPLE_HEAD)
    for column in result.schema:
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        right = number or pa.types.is_decimal(column.type)
        drawn.add_column(Text(column.name), justify="right" if right else "left", overflow="fold")
    rows = _rows(result)
    count = 0
    for row in rows:
        if count == _SHOWN:
            break
        count += 1
        drawn.add_row(*(Text(_short(_text(value))) for value in row))
    console.print(drawn)
    more = count == _SHOWN and next(rows, None) is not None
    console.print(
        f"the first {_SHOWN} rows of more: --csv, --json, --parquet and --arrow give all of them"
        if more
        else f"{count} row{'' if count == 1 else 's'}",
        style="yellow" if more else "dim",
        highlight=False,
    )


def write_csv(result: Result) -> None:
    """To standard output, with a line of names; what is null is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(result.schema.names)
    for row in _rows(result):
        writer.writerow([_text(value) for value in row])


def write_json(result: Result) -> None:
    """To standard output, an object a line."""
    names = result.schema.names
    for row in _rows(result):
        sys.stdout.write(_ENCODER.encode(dict(zip(names, row, strict=True))).decode() + "\n")


def write_parquet(result: Result, path: Path) -> int:
    """To a file that is there when it is whole; returns how many rows."""
    import pyarrow.parquet as pq

    def write(file: IO[bytes]) -> int:
        with pq.ParquetWriter(file, result.schema, compression="zstd") as writer:
            return _put(result, writer)

    with _whole(path) as file:
        return write(file)


def write_arrow(result: Result, path: Path | None) -> int:
    """As an IPC stream, to a file as above, or to standard output."""
    with _whole(path) if path else _standard_output() as file, pa.ipc.new_stream(file, result.schema) as writer:
        return _put(result, writer)


def _put(result: Result, writer: Any) -> int:
    rows = 0
    for batch in result:
        writer.write_batch(batch)
        rows += batch.num_rows
    return rows


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` once it is written. Raises InvalidQuestion when it cannot be."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise InvalidQuestion(f"{path} cannot be written: {error}", "sql") from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _rows(result: Result) -> Iterator[tuple[Any, ...]]:
    for batch in result:
        columns = [[_plain(value) for value in column.to_pylist()] for column in batch.columns]
        yield from zip(*columns, strict=True)


def _plain(value: Any) -> Any:
    """Whole numbers beyond 64 bits come as decimals, and maps as lists of pairs."""
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    if isinstance(value, list) and value and all(isinstance(pair, tuple) for pair in value):
        return {str(name): _plain(of) for name, of in value}
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        whole_ms = value.microsecond and not value.microsecond % 1000
        return value.isoformat(timespec="milliseconds" if whole_ms else "auto").replace("+00:00", "Z")
    return _ENCODER.encode(value).decode() if isinstance(value, dict | list | bool) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
