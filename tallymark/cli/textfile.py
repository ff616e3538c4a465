"""Metrics of what is not there to be asked: files in `metrics_folder`, for the textfile collector of a node exporter.

Of a command that ends, `NAME.prom` is about the last run, and `NAME-done.prom` about the last one that ended well, with
its figures: so a run that fails leaves the time of the last good one. Each file is replaced as a whole.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple

from tallymark.settings import Settings

__all__ = ["Metric", "with_metrics", "write_metrics"]

_LAST: Final = {
    "well": "1 when the last run ended well.",
    "timestamp_seconds": "When the last run ended.",
    "seconds": "How long the last run took.",
}
_DONE: Final = "When a run last ended well."


class Metric(NamedTuple):
    """`name` goes without the `tallymark_` that all have. A `total` only grows, and its name gets `_total`."""

    name: str
    says: str
    value: float
    total: bool = False


def write_metrics(path: Path, metrics: Iterable[Metric], **labels: str) -> None:
    """Replace the file as a whole; all of `metrics` get `labels`. Raises OSError."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, write_to_textfile

    registry = CollectorRegistry()
    for metric in metrics:
        name = f"tallymark_{metric.name}"
        if metric.total:
            Counter(name, metric.says, labels, registry=registry).labels(**labels).inc(metric.value)
        else:
            Gauge(name, metric.says, labels, registry=registry).labels(**labels).set(metric.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_to_textfile(str(path), registry)


def with_metrics(name: str, run: Callable[..., Mapping[str, float] | None]) -> Callable[..., None]:
    """`run`, the function of the command `name`, whose metrics are written however it ends; not of a dry run."""

    @wraps(run)
    def measured(*arguments: Any, **options: Any) -> None:
        if options.get("dry_run"):
            run(*arguments, **options)
            return
        folder = Settings.load(os.environ).metrics_folder
        began = time.time()
        well = False
        figures: Mapping[str, float] = {}
        try:
            figures = run(*arguments, **options) or {}
            well = True
        finally:
            _write_run(folder, name, well=well, seconds=time.time() - began, figures=figures)

    return measured


def _write_run(folder: Path, name: str, *, well: bool, seconds: float, figures: Mapping[str, float]) -> None:
    now = time.time()
    last = {"well": float(well), "timestamp_seconds": now, "seconds": seconds}
    of_run = [
        Metric(f"{name}_{key}", f"{key.replace('_', ' ').capitalize()}, of the last run that ended well.", value)
        for key, value in figures.items()
    ]
    try:
        of_last = [Metric(f"command_{key}", _LAST[key], value) for key, value in last.items()]
        write_metrics(folder / f"{name}.prom", of_last, command=name)
        if well:
            done = Metric("command_done_timestamp_seconds", _DONE, now)
            write_metrics(folder / f"{name}-done.prom", [done, *of_run], command=name)
    except OSError as error:  # what was done is done, and a read-only folder is no reason to do it again
        print(f"no metrics of `tallymark {name}` in {folder}: {error}; see the setting metrics", file=sys.stderr)
