"""Where benchmarks put their figures, and the table that is made of them.

`record("ingest", {"events_per_second": 61_000})` writes bench-results/ingest.json together with a description of the
machine; `python -m tests.bench.report > docs/benchmarks.md` makes one page of all results.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import psutil

__all__ = ["RESULTS", "machine", "percentiles", "record", "render"]

RESULTS: Final = Path("bench-results")
_INTRODUCTION: Final = """# Benchmarks

Made by `make bench` and `python -m tests.bench.report`; do not edit. Absolute figures hold for the machine they were
taken on. Ratios beside a peer were taken in the same run and travel better.
"""


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Write bench-results/`name`.json and print it. `figures`: names to numbers, texts, lists, or more such maps."""
    result = {
        "name": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": dict(figures),
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


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


def render(results: Path = RESULTS) -> str:
    """The page of all results in `results`, by name. Exits with a message when there are none."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    if not found:
        sys.exit(f"no results in {results}; run `make bench` first")
    return "\n".join([_INTRODUCTION, *(line for result in found for line in _section(result))])


def _section(result: Mapping[str, Any]) -> Iterator[str]:
    on = result["machine"]
    yield f"## {_words(result['name'])}\n"
    yield (
        f"{result['taken_at']} on {on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB, {on['system']}, "
        f"Python {on['python']}.\n"
    )
    yield "| figure | value |"
    yield "|---|---:|"
    for path, value in _flat(result["figures"]):
        yield f"| {' · '.join(map(_words, path))} | {_cell(value)} |"
    yield ""


def _flat(figures: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*path, name))
        else:
            yield (*path, name), value


def _words(name: str) -> str:
    return name.replace("_", " ").replace("|", "\\|")


def _cell(value: Any) -> str:
    """Numbers to four digits, with thin groups of three: 61 234, 0.00123, 1.57."""
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value).replace("|", "\\|").replace("\n", " ")
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{round(value):,}".replace(",", "\u202f")
    return f"{value:.4g}"


def _processor() -> str:
    """The name that the kernel gives the processor, since `platform.processor()` is often empty."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.stdout.write(render(Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))
