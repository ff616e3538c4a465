"""What `tallymark import` prints: for people through rich, for programs as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from batch.importing.load import Loaded, Watch
from batch.importing.sources import Source

__all__ = ["progress", "show", "show_json"]


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
        console.print(_events(done))
    if done.refused:
        console.print(_refusals(done), markup=False)
    rate = f"{done.rows / done.seconds:,.0f} rows/s" if done.seconds else "at once"
    if dry_run:
        console.print(f"{done.events:,} of {done.rows:,} rows are events; {done.refused.total():,} are none. {rate}")
        console.print("Nothing was written. Without --dry-run they are imported.")
        return
    for name in done.before:
        console.print(f"{name} was imported before, and is not imported again", markup=False)
    left_out = f", {done.refused.total():,} left out" if done.refused else ""
    console.print(
        f"{done.events:,} events of {done.rows:,} rows are in the raw events{left_out}: {done.files:,} files, "
        f"{done.commits:,} commits, {done.seconds:,.1f} s, {rate}"
    )
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
    names = list(done.first[0])
    table = Table(*names, title=f"the first {len(done.first)} events")
    for event in done.first:
        shown = event | {"occurred_at": _time(event["occurred_at"])}
        table.add_row(*("" if shown[name] is None else str(shown[name]) for name in names))
    return table


def _refusals(done: Loaded) -> Table:
    table = Table("rows", "reason", "for example", title="rows that are no events")
    for reason, rows in done.refused.most_common():
        table.add_row(f"{rows:,}", reason, ", ".join(done.places[reason]))
    return table


def _time(at_ms: object) -> str:
    assert isinstance(at_ms, int)
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")
