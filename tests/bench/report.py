"""Where benchmarks put their figures, and the page that is made of them.

`record("ingest", {"events_per_second": 61_000})` writes bench-results/ingest.json together with a description of the
machine. `python -m tests.bench.report` keeps these results in docs/benchmarks.json, where each stays until a newer one
of its name comes, and makes docs/benchmarks.md of them: the figures of `page`, to be read in a minute.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import psutil

__all__ = ["KEPT", "PAGE", "RESULTS", "collect", "describe", "machine", "percentiles", "record"]

RESULTS: Final = Path("bench-results")
KEPT: Final = Path("docs/benchmarks.json")
PAGE: Final = Path("docs/benchmarks.md")


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Write bench-results/`name`.json and print it. `figures`: names to numbers, texts, lists, or more such maps."""
    text = json.dumps(describe(name, figures), indent=2, ensure_ascii=False)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def describe(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with their name, the time and the machine."""
    return {
        "name": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": dict(figures),
    }


def machine() -> dict[str, str | int | float]:
    """What a reader needs to judge a figure: processor, cores that this process may use, memory, system, Python."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The 50th, 95th and 99th, to two digits; empty when there are too few values to have any."""
    if len(values) < 2:
        return {}
    cuts = quantiles(values, n=100, method="inclusive")
    return {f"p{at}": round(cuts[at - 1], 2) for at in (50, 95, 99)}


def collect(results: Path = RESULTS, kept: Path = KEPT) -> list[dict[str, Any]]:
    """The newest result of each name, by name: those in `kept` and those in `results`. Exits when there are none."""
    old = json.loads(kept.read_text()) if kept.is_file() else []
    new = [json.loads(path.read_text()) for path in results.glob("*.json")]
    if not old + new:
        sys.exit(f"no results in {results}; run `make bench` first")
    by_name = {result["name"]: result for result in sorted(old + new, key=lambda result: str(result["taken_at"]))}
    return [by_name[name] for name in sorted(by_name)]


def _processor() -> str:
    """The name that the kernel gives the processor, since `platform.processor()` is often empty."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    from tests.bench.page import render

    all_results = collect()
    KEPT.write_text(json.dumps(all_results, indent=2, ensure_ascii=False) + "\n")
    PAGE.write_text(render(all_results))
