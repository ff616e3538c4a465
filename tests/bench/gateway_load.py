"""A gateway as a process, a load on it, and what both measured; for the benchmarks of every log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import psutil

from tallymark.settings import Settings
from tests.bench.report import percentiles
from tests.support.systems import ROOT, environment, eventually, get

__all__ = ["Load", "Spread", "gateway", "load", "shown"]


class Load(NamedTuple):
    """What one load measured; `cpu_us` is what the gateway spent on each event."""

    events_per_s: float
    post_ms: list[float]
    cpu_us: float


@contextmanager
def gateway(settings: Settings) -> Iterator[psutil.Process]:
    """A gateway with these settings, ready."""
    command = [sys.executable, "-m", "tallymark", "gateway"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT) as process:
        try:
            eventually(lambda: get(settings.gateway, "/readyz")[0] == 200)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def load(
    settings: Settings,
    process: psutil.Process,
    connections: int,
    seconds: float,
    *,
    posts_per_s: float = 0,
    traffic: str = "pareto",
) -> Load:
    """`posts_per_s`: by the clock, over all connections; 0: as fast as answers come. `traffic`: see `records`."""
    arguments = [str(settings.gateway.port), str(connections), str(seconds), str(posts_per_s), traffic]
    command = [sys.executable, "-m", "tests.bench.post_load", *arguments]
    before = sum(process.cpu_times()[:2])
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    cpu = sum(process.cpu_times()[:2]) - before
    return Load(told["events"] / told["seconds"], told["post_ms"], cpu / told["events"] * 1e6)


def shown(loads: Sequence[Load]) -> dict[str, Any]:
    return {
        "events_per_s": round(median(load.events_per_s for load in loads)),
        "rounds": [round(load.events_per_s) for load in loads],
        "post_ms": percentiles([ms for load in loads for ms in load.post_ms]),
        "gateway_cpu_us_per_event": round(median(load.cpu_us for load in loads), 2),
    }


class Spread:
    """Rounds of even traffic and of such with half of all events on one video, taken in turns."""

    def __init__(self) -> None:
        self._rates: dict[str, list[float]] = {"even": [], "hot": []}

    def round(self, settings: Settings, process: psutil.Process, connections: int, seconds: float) -> None:
        for traffic, rates in self._rates.items():
            rates.append(load(settings, process, connections, seconds, traffic=traffic).events_per_s)

    @property
    def shown(self) -> dict[str, float]:
        even, hot = (median(rates) for rates in self._rates.values())
        return {"even": round(even), "half_on_one_video": round(hot), "half_on_one_video_to_even": round(hot / even, 2)}
