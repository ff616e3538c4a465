"""What a command that ends tells Prometheus: files in `metrics_folder`, for the textfile collector of a node exporter.

`NAME.prom` is about the last run, `NAME-done.prom` about the last one that ended well, with its figures: so a run that
fails leaves the time of the last good one. Each file is replaced as a whole.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final

from tallymark.settings import Settings

__all__ = ["telling"]

_LAST: Final = {
    "well": "1 when the last run ended well.",
    "timestamp_seconds": "When the last run ended.",
    "seconds": "How long the last run took.",
}
_DONE: Final = "When a run last ended well."


def telling(name: str, run: Callable[..., Mapping[str, float] | None]) -> Callable[..., None]:
    """`run`, the function of the command `name`, whose metrics are written however it ends; not of a dry run."""

    @wraps(run)
    def told(*arguments: Any, **options: Any) -> None:
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
            _tell(folder, name, well=well, seconds=time.time() - began, figures=figures)

    return told


def _tell(folder: Path, name: str, *, well: bool, seconds: float, figures: Mapping[str, float]) -> None:
    now = time.time()
    last = {"well": float(well), "timestamp_seconds": now, "seconds": seconds}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{name}.prom", name, {f"command_{key}": (_LAST[key], value) for key, value in last.items()})
        if well:
            of_run = {
                f"{name}_{key}": (f"{key.replace('_', ' ').capitalize()}, of the last run that ended well.", value)
                for key, value in figures.items()
            }
            _write(folder / f"{name}-done.prom", name, {"command_done_timestamp_seconds": (_DONE, now), **of_run})
    except OSError as error:  # what was done is done, and a read-only folder is no reason to do it again
        print(f"no metrics of `tallymark {name}` in {folder}: {error}; see the setting metrics", file=sys.stderr)


def _write(path: Path, command: str, gauges: Mapping[str, tuple[str, float]]) -> None:
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    for name, (says, value) in gauges.items():
        Gauge(f"tallymark_{name}", says, ["command"], registry=registry).labels(command).set(value)
    write_to_textfile(str(path), registry)
