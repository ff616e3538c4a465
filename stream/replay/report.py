"""How a replay is shown: as a progress bar, or as lines of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stream.replay.sender import Replayed
from tallymark.client.wire import ReplayReport

__all__ = ["report_of", "show", "show_json"]

_EVERY: Final = 0.5  # seconds


def show_json(steps: Iterator[Replayed], *, clock: Callable[[], float] = time.monotonic) -> None:
    """One line about every half second, and a last one, on standard output."""
    began = shown = clock()
    at = Replayed()
    for at in steps:
        if clock() - shown >= _EVERY:
            shown = clock()
            _print(report_of(at, seconds=shown - began))
    _print(report_of(at, seconds=clock() - began))


def show(steps: Iterator[Replayed], *, clock: Callable[[], float] = time.monotonic) -> None:
    """What has been sent while it is, and a line that sums up."""
    began = clock()
    at = Replayed()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("replaying")
        for at in steps:
            report = report_of(at, seconds=clock() - began)
            until = str(report.delivered_until)[:16].replace("T", " ")
            says = f"{at.sent:>9,} events until {until}  {report.events_per_s:>7,} events/s"
            progress.update(task, description=says)
    report = report_of(at, seconds=clock() - began)
    print(
        f"sent {at.sent:,} events in {clock() - began:.1f} s, {report.events_per_s:,} a second: "
        f"{at.accepted:,} accepted, {at.rejected:,} rejected; {at.resent:,} sent once more"
    )


def report_of(at: Replayed, *, seconds: float) -> ReplayReport:
    until = at.delivered_until_ms
    return ReplayReport(
        sent=at.sent,
        accepted=at.accepted,
        rejected=at.rejected,
        resent=at.resent,
        events_per_s=round((at.sent + at.resent) / seconds) if seconds else 0,
        delivered_until=None if until is None else datetime.fromtimestamp(until / 1000, UTC).isoformat(),
    )


def _print(report: ReplayReport) -> None:
    print(json.dumps(msgspec.structs.asdict(report)), flush=True)
