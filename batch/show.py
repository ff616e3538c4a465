"""What the commands of the recount print: lines for people, for programs one JSON document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from batch.recompute import Recount
from batch.start import Step, Watch, unwatched
from tallymark.documents.attempts import AttemptRecord
from tallymark.documents.publication import Publication

__all__ = [
    "progress",
    "show_publication",
    "show_publication_json",
    "show_recount",
    "show_recount_json",
    "show_versions",
    "show_versions_json",
]

_UNFINISHED = "not finished: its process ended, or is still at it"


@contextmanager
def progress(*, quiet: bool) -> Iterator[Watch]:
    """A bar over the shards, on standard error; yields what follows the steps."""
    if quiet:
        yield unwatched
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shards = bar.add_task("looking for what changed", total=None)

        def watch(step: Step, done: int, of: int) -> None:
            if step is Step.ROLL_UP:
                bar.update(shards, description="counting shards", completed=done, total=of)

        yield watch


def show_recount(done: Recount) -> None:
    at = done.publication
    if not done.published:
        print(f"Nothing to recount: version {at.version} is exact until {_time(at.exact_until)}{_counted(at)}")
        return
    print(f"Version {at.version} is published: exact until {_time(at.exact_until)}, of raw version {at.raw_version}")
    if at.missing:
        print(f"  MISSING   events before that known never to have come: {at.missing:,}; see `tallymark audit`")
    print(f"  dirty     {done.pairs:,} pairs of an hour and a shard, on {done.days:,} days")
    print(f"  counted   {done.events:,} events; {done.duplicates:,} duplicates removed from {done.rows:,} rows")
    if done.not_counted:
        print(f"  marked    {done.not_counted:,} events that are kept and not counted, such as those of bots")
    if done.known:
        print(f"            added to {done.known:,} rows that were counted before, and searched for copies of these")
    if at.counted_until:
        print(
            f"  taken     by the log before {at.counted_until:%Y-%m-%d %H:%M:%S} UTC; what came since is counted next"
        )
    print(f"  written   {done.written:,} rows, {done.empty:,} of them to say that nothing is left")
    print(f"  seconds   {', '.join(f'{step} {seconds:.1f}' for step, seconds in done.seconds.items())}")


def show_recount_json(done: Recount) -> None:
    figures = msgspec.to_builtins(done)
    publication = figures.pop("publication")
    _print({"published": figures.pop("published"), **publication, **figures})


def show_publication(at: Publication) -> None:
    counted = f"exact until {_time(at.exact_until)}, of raw version {at.raw_version}"
    print(f"Readers see version {at.version}: {counted}{_missing(at)}")


def show_publication_json(at: Publication) -> None:
    _print(msgspec.to_builtins(at))


def show_versions(published: Sequence[Publication], kept: Sequence[AttemptRecord]) -> None:
    if not published:
        print("Nothing was published yet: `tallymark recompute` makes the first version")
    for at in published:
        mark = "  ← readers see it" if at is published[-1] else ""
        when = f"published {_time(at.published_at)}, exact until {_time(at.exact_until)}"
        print(f"{at.version:>6}  {when}, raw version {at.raw_version}, epoch {at.epoch}{_missing(at)}{mark}")
    if kept:
        print("Not published:")
    for record in kept:
        print(f"{record.number:>6}  begun {_time(record.started_at)}, {record.state}: {record.why or _UNFINISHED}")


def show_versions_json(published: Sequence[Publication], kept: Sequence[AttemptRecord]) -> None:
    unpublished = [
        {
            "version": record.number,
            "state": record.state.value,
            "started_at": record.started_at.isoformat(),
            "why": record.why or _UNFINISHED,
            "failed_checks": [check.name for check in record.checks if not check.holds],
        }
        for record in kept
    ]
    _print({"versions": msgspec.to_builtins(list(published)), "unpublished": unpublished})


def _print(document: dict[str, Any]) -> None:
    print(json.dumps(document))


def _counted(at: Publication) -> str:
    """What comes into a sealed hour just now is counted by the next one."""
    if at.counted_until is None:
        return ""
    return f"; it has what the log took before {at.counted_until:%Y-%m-%d %H:%M:%S} UTC and the archive committed"


def _missing(at: Publication) -> str:
    return f", events known to be missing: {at.missing:,}" if at.missing else ""


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
