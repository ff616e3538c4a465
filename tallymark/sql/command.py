"""`tallymark sql`. What it needs is imported when it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallymark.errors import InvalidQuestion
from tallymark.notation import parse_duration
from tallymark.settings import Settings

if TYPE_CHECKING:
    from tallymark.sql.session import Result

__all__ = ["sql"]

_Query = Annotated[str, typer.Argument(metavar="SELECT", help="The query; - reads it from standard input.")]
_AsOf = Annotated[int | None, typer.Option(metavar="VERSION", help="Counts as when this version was published.")]
_Timeout = Annotated[str, typer.Option(metavar="LENGTH", help="How long it may take: 90s, 10m …")]
_Csv = Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")]
_Json = Annotated[bool, typer.Option("--json", help="Print all rows as JSON, an object a line.")]
_Parquet = Annotated[Path | None, typer.Option(metavar="FILE", help="Write all rows to a Parquet file.")]
_Arrow = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all rows as an Arrow stream; - is standard output.")
]


def sql(
    query: _Query,
    *,
    as_of: _AsOf = None,
    timeout: _Timeout = "5m",
    csv: _Csv = False,
    json: _Json = False,
    parquet: _Parquet = None,
    arrow: _Arrow = None,
) -> None:
    """Ask in SQL, by DuckDB, of events, raw, counts_hour, counts_day and versions. Nothing can be changed.

    Example: `tallymark sql "select type, count(*) from events where day = '2013-07-01' group by all"`
    """
    if csv + json + (parquet is not None) + (arrow is not None) > 1:
        raise InvalidQuestion("choose one of --csv, --json, --parquet and --arrow", "sql")
    try:
        seconds = parse_duration(timeout).total_seconds()
    except ValueError as error:
        raise InvalidQuestion(str(error), "timeout") from error
    from tallymark.sql.session import answering

    text = sys.stdin.read() if query == "-" else query
    with answering(Settings.load(os.environ), text, as_of=as_of, timeout=seconds) as result:
        _give(result, csv=csv, json=json, parquet=parquet, arrow=arrow)


def _give(result: Result, *, csv: bool, json: bool, parquet: Path | None, arrow: Path | None) -> None:
    from tallymark.cli.terminal import say
    from tallymark.sql import output

    if csv:
        output.write_csv(result)
    elif json:
        output.write_json(result)
    elif parquet:
        say(f"{output.write_parquet(result, parquet):,} rows in {parquet}")
    elif arrow:
        rows = output.write_arrow(result, None if str(arrow) == "-" else arrow)
        if str(arrow) != "-":
            say(f"{rows:,} rows in {arrow}")
    else:
        output.show(result)
