"""How long `/metrics` of each process takes to answer, and what a canary costs: `python -m tests.bench.bench_metrics`.

The system runs as users run it, embedded. Scrapes are taken at rest and beside a steady load. The canary's cost is the
processor time of the whole system in minutes with it, its own process among them, less that of minutes without.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import psutil

from tallymark.settings import Settings
from tests.bench.report import machine, record
from tests.support.systems import ROOT, environment, eventually, processes_of, running, settings_in, tallymark

SCRAPES: Final = 300
PAUSE: Final = 0.05
POSTS_PER_S: Final = 25
MINUTES: Final = 2
LOOK_EVERY: Final = 2.0


def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, running(settings_in(Path(folder) / "home")) as settings:
        # then every metric has been set, and every path was taken once
        eventually(lambda: tallymark(settings, "canary", "--once").returncode == 0, within=180)
        idle = _scraped(settings)
        with _load(settings):
            busy = _scraped(settings)
        time.sleep(30)  # until the load is counted and Spark has gone quiet
        without = _cpu_seconds_a_minute(settings)
        with _canary(settings):
            flying = _cpu_seconds_a_minute(settings)
    cost = flying - without
    return {
        "scrape_ms_at_rest": idle,
        "scrape_ms_beside_5000_events_per_s": busy,
        "cpu_s_a_minute": {"without_a_canary": round(without, 2), "with_a_canary": round(flying, 2)},
        "canary_share_of_capacity": round(cost / (60 * machine()["cores"]), 5),
    }


def _scraped(settings: Settings) -> dict[str, dict[str, float]]:
    found = {}
    places = {"gateway": settings.gateway, "api": settings.api, "stream": settings.stream_metrics}
    for name, address in places.items():
        taken = []
        for _ in range(SCRAPES):
            began = time.perf_counter()
            urlopen(f"{address.url}/metrics").read()  # on a connection of its own
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE)
        taken.sort()
        found[name] = {"p50": round(taken[SCRAPES // 2], 2), "p99": round(taken[SCRAPES * 99 // 100], 2)}
    return found


@contextmanager
def _load(settings: Settings) -> Iterator[None]:
    seconds = 3 * SCRAPES * (PAUSE + 0.02) + 5
    command = [sys.executable, "-m", "tests.bench.post_load", str(settings.gateway.port), "2", str(seconds)]
    with subprocess.Popen([*command, str(POSTS_PER_S)], cwd=ROOT, stdout=subprocess.DEVNULL) as posting:
        time.sleep(5)
        yield
        posting.terminate()


@contextmanager
def _canary(settings: Settings) -> Iterator[None]:
    """It flies every minute; its first round, with which it starts, is over."""
    command = [sys.executable, "-m", "tallymark", "canary", "--json"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT, stdout=subprocess.PIPE) as flying:
        assert flying.stdout
        flying.stdout.readline()
        yield
        flying.terminate()


def _cpu_seconds_a_minute(settings: Settings) -> float:
    """Looked at often, since Spark's workers end when they are idle, and take their times along."""
    before = _cpu_seconds(settings)
    now = dict(before)
    until = time.monotonic() + 60 * MINUTES
    while time.monotonic() < until:
        time.sleep(LOOK_EVERY)
        now |= _cpu_seconds(settings)
    return (sum(now.values()) - sum(before.values())) / MINUTES


def _cpu_seconds(settings: Settings) -> dict[psutil.Process, float]:
    found = {}
    for pid in processes_of(settings):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found[process] = sum(process.cpu_times()[:2])
    return found


if __name__ == "__main__":
    record("metrics", main())
