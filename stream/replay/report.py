"""How a replay is shown: as a progress bar, or as lines of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from stream.replay.sender import Replayed

__all__ = ["as_json", "show", "show_json"]

_EVERY: Final = 0.5  # seconds


def show_json(steps: Iterator[Replayed], *, clock: Callable[[], float] = time.monotonic) -> None:
    """One line about every half second, and a last one, on standard output."""
    began = shown = clock()
    at = Replayed()
    for at in steps:
        if clock() - shown >= _EVERY:
            shown = clock()
            print(json.dumps(as_json(at, seconds=shown - began)), flush=True)
    print(json.dumps(as_json(at, seconds=clock() - began)), flush=True)


def show(steps: Iterator[Replayed], *, clock: Callable[[], float] = time.monotonic) -> None:
    """What has been sent while it is, and a line that sums up."""
    began = clock()
    at = Replayed()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("replaying")
        for at in steps:
            told = as_json(at, seconds=clock() - began)
            until = str(told["delivered_until"])[:16].replace("T", " ")
            says = f"{at.sent:>9,} events until {until}  {told['events_per_s']:>7,} events/s"
            progress.update(task, description=says)
    told = as_json(at, seconds=clock() - began)
    print(
        f"sent {at.sent:,} events in {clock() - began:.1f} s, {told['events_per_s']:,} a second: "
        f"{at.accepted:,} accepted, {at.rejected:,} rejected; {at.resent:,} sent once more"
    )


def as_json(at: Replayed, *, seconds: float) -> dict[str, Any]:
    until = at.delivered_until_ms
    return {
        "sent": at.sent,
        "accepted": at.accepted,
        "rejected": at.rejected,
        "resent": at.resent,
        "events_per_s": round((at.sent + at.resent) / seconds) if seconds else 0,
        "delivered_until": None if until is None else datetime.fromtimestamp(until / 1000, UTC).isoformat(),
    }
