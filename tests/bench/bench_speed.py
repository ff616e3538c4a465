"""How fast and how fresh the speed layer is, with deduplication at its full size and the archive beside it.

The stream process runs as users run it, on the log and store that the TALLYMARK_* variables name: by default the
embedded ones. The load comes from a process of its own, on the same cores: SPEED_RATE events a second (20,000) for a
warm-up of `lateness`, in which the memory of ids fills, and then for twice `lateness`, in which the figures are taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil

from stream.log import open_log
from tallymark.publication import SPEED, read_progress
from tallymark.settings import Settings
from tallymark.wiring import open_store
from tests.bench.report import record

DEADLINE = 120
WARM_UP = 120  # seconds: until Java has compiled what runs often


def main() -> dict[str, Any]:
    rate = int(os.environ.get("SPEED_RATE", "20000"))
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(Settings.load(os.environ), home=Path(folder))
        figures = measure(settings, rate)
    record("speed" if figures["log"] == "sqlite" else "speed_cluster", figures)
    return figures


def measure(settings: Settings, rate: int) -> dict[str, Any]:
    lateness = settings.lateness.total_seconds()
    warm_up = max(WARM_UP, lateness)
    seconds = warm_up + 2 * lateness
    environment = os.environ | settings.environment()
    stream = subprocess.Popen([sys.executable, "-m", "tallymark", "stream"], env=environment)
    try:
        _until((settings.home / "run" / "stream.ready").exists)
        load = [
            sys.executable,
            "-m",
            "tests.bench.speed_load",
            str(rate),
            str(seconds),
            str(warm_up),
        ]
        found = json.loads(subprocess.run(load, env=environment, stdout=subprocess.PIPE, check=True).stdout)
        ended = time.monotonic()
        end = open_log(settings).horizon().positions
        store = open_store(settings)
        _until(lambda: (read := read_progress(store, SPEED)) is not None and read.positions == end)
        caught_up = time.monotonic() - ended
        memory = sum(each.memory_full_info().pss for each in _tree(stream.pid))
    finally:
        stream.terminate()
        stream.wait(60)
    return {
        "log": settings.log.partition(":")[0],
        "store": settings.store.partition(":")[0],
        "events_per_second": rate,
        "lateness_s": lateness,
        "trigger_s": settings.trigger.total_seconds(),
        "measured_s": 2 * lateness,
        "events": found["sent"],
        "write_to_readable_s": _summary(found["latencies"]),
        "counted_after_the_end_s": round(caught_up, 1),
        "stream_memory_mib": round(memory / 2**20),
    }


def _summary(latencies: list[float]) -> dict[str, float]:
    if len(latencies) < 2:
        raise RuntimeError("nothing was readable while it was looked for: the speed layer is far behind this rate")
    cuts = quantiles(latencies, n=100)
    return {"p50": round(cuts[49], 2), "p95": round(cuts[94], 2), "p99": round(cuts[98], 2), "probes": len(latencies)}


def _tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _until(holds: Any) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE} s")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
