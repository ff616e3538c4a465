"""What `tallymark import` prints: for people through rich, for programs as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import msgspec
import typer
from rich.box import MINIMAL
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from batch.importing.load import Loaded, Watch
from batch.importing.sources import Source

__all__ = ["progress", "show", "show_json"]

_WHOLE: Final = frozenset({"occurred_at", "type", "value"})


@contextmanager
def progress(sources: Sequence[Source], *, quiet: bool) -> Iterator[Watch | None]:
    """A bar over the bytes of all files, with rows a second, on standard error."""
    if quiet:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    before: dict[str, int] = {}
    total = 0
    for source in sources:
        before[source.name] = total
        total += source.size
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=total)

        def watch(name: str, read: int, rows: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            rate = f", {rows / elapsed:,.0f} rows/s" if elapsed else ""
            bar.update(task, completed=before[name] + read, description=f"{rows:,} rows{rate}")

        yield watch


def show(done: Loaded, *, dry_run: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if done.first:
        console.print(_events(done), soft_wrap=False)
    if done.refused:
        console.print(_refusals(done), markup=False)
    rate = f"{done.rows / done.seconds:,.0f} rows/s" if done.seconds else "at once"
    if dry_run:
        console.print(f"{done.events:,} of {done.rows:,} rows are events; {done.refused.total():,} are none. {rate}")
        console.print("Nothing was written. Without --dry-run they are imported.")
        return
    for name in done.before:
        console.print(f"{name} was imported before, and is not imported again", markup=False)
    events, rows = _number(done.events, "event"), _number(done.rows, "row")
    are = "is" if done.events == 1 else "are"
    left_out = f", {done.refused.total():,} left out" if done.refused else ""
    written = f"{_number(done.files, 'file')}, {_number(done.commits, 'commit')}, {done.seconds:,.1f} s, {rate}"
    console.print(f"{events} of {rows} {are} in the raw events{left_out}: {written}")
    if done.events:
        console.print(
            "They are in no count yet, and answers about their time say so (import_pending): `tallymark recompute` "
            "counts them now, `tallymark up` within a minute or two."
        )


def show_json(done: Loaded, *, dry_run: bool) -> None:
    told = {
        "dry_run": dry_run,
        "rows": done.rows,
        "events": done.events,
        "refused": [
            {"reason": reason, "rows": rows, "places": done.places[reason]}
            for reason, rows in done.refused.most_common()
        ],
        "imported_before": done.before,
        "files": done.files,
        "commits": done.commits,
        "seconds": round(done.seconds, 3),
        "first_events": done.first,
    }
    typer.echo(msgspec.json.encode(told))


def _events(done: Loaded) -> Table:
    """Columns in which there is anything; times are whole, however narrow it is."""
    rows = [_texts(event) for event in done.first]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    title = "the first event" if len(rows) == 1 else f"the first {len(rows)} events"
    table = Table(title=title, box=MINIMAL, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in _WHOLE)
    for row in rows:
        table.add_row(*(escape(row[name]) for name in names))
    return table


def _texts(event: dict[str, object]) -> dict[str, str]:
    attributes = event["attributes"]
    assert isinstance(attributes, dict)
    shown = event | {
        "occurred_at": _time(event["occurred_at"]),
        "attributes": ", ".join(f"{name}={text}" for name, text in attributes.items()),
    }
    return {name: "" if value is None else str(value) for name, value in shown.items()}


def _refusals(done: Loaded) -> Table:
    table = Table("rows", "reason", "for example", title="rows that are no events")
    for reason, rows in done.refused.most_common():
        table.add_row(f"{rows:,}", reason, ", ".join(done.places[reason]))
    return table


def _number(count: int, of: str) -> str:
    return f"{count:,} {of}" if count == 1 else f"{count:,} {of}s"


def _time(at_ms: object) -> str:
    assert isinstance(at_ms, int)
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")
