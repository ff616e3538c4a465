"""`/v1/count` at 200 requests a second over ranges from an hour to ten years, beside an endpoint that does nothing.

Both are real processes, asked by a third: `python -m tests.bench.bench_count`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import psutil

from tallymark.instants import instant, minute_of
from tallymark.settings import Settings
from tests.bench.count_store import HOT, Built, build
from tests.bench.phases import deadline, say
from tests.bench.report import percentiles, record
from tests.support.systems import environment, settings_in

RATE = 200
SECONDS = 20
LENGTHS = {"1h": 60, "1d": 1440, "30d": 30 * 1440, "1y": 365 * 1440, "10y": 3600 * 1440}


def main() -> dict[str, Any]:
    now = datetime.now(UTC)
    with deadline(15), tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = settings_in(home)
        say("filling a store")
        began = time.perf_counter()
        built = build(home / "views.sqlite", now=now)
        figures: dict[str, Any] = {
            "rate": RATE,
            "batch_cells": built.batch_cells,
            "speed_cells": built.speed_cells,
            "store_mb": round((home / "views.sqlite").stat().st_size / 1e6),
            "built_in_s": round(time.perf_counter() - began, 1),
        }
        asked = list(requests(built, now=now))
        count = measured(["-m", "tallymark", "api"], asked, settings)
        bare = measured(["-m", "tests.bench.bare_api"], asked, settings)
    figures["count"] = count.shown
    figures["count_ms_by_length"] = {label: percentiles(times) for label, times in count.times.items()}
    figures["bare"] = bare.shown
    figures["count_to_bare"] = {name: round(count.shown[name] / bare.shown[name], 2) for name in count.shown}
    return figures


class Measured(NamedTuple):
    """Milliseconds from when each request was due, by label, and what the server's processor spent on one."""

    times: dict[str, list[float]]
    cpu_ms: float

    @property
    def shown(self) -> dict[str, float]:
        everything = [ms for times in self.times.values() for ms in times]
        return {**percentiles(everything), "cpu_ms_per_request": round(self.cpu_ms, 2)}


def requests(built: Built, *, now: datetime) -> Iterator[tuple[str, str]]:
    """Half of the ranges end now, across the boundary; half end somewhere in the past. Ends lie on any minute."""
    rng = random.Random(11)
    labels = list(LENGTHS)
    for number in range(RATE * SECONDS):
        label = labels[number % len(labels)]
        if number // len(labels) % 2:
            end = minute_of(now) + 1
        else:
            end = rng.choice([day for day in built.detailed_days[-40:] if label != "10y"] or [minute_of(now) - 1440])
            end += rng.randrange(1440)
        start = max(end - LENGTHS[label], built.detailed_days[0]) + rng.randrange(60 if label != "1h" else 1)
        if label in ("1y", "10y"):
            start = min(built.detailed_days, key=lambda day: abs(day - start)) + rng.randrange(1440)
        question = {
            "video_id": rng.choice(HOT),
            "start": f"{instant(start):%Y-%m-%dT%H:%M:%SZ}",
            "end": f"{instant(end):%Y-%m-%dT%H:%M:%SZ}",
        }
        yield label, f"/v1/count?{urlencode(question)}"


def measured(command: list[str], asked: list[tuple[str, str]], settings: Settings, *, warm_up: int = 3) -> Measured:
    """What `command` took for the questions, after `warm_up` seconds of the same."""
    say(f"questions to {command[-1]}")
    with subprocess.Popen([sys.executable, *command], env=environment(settings)) as process:
        try:
            deadline = time.monotonic() + 60
            while not _answers(settings):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{' '.join(command)} did not come up")
                time.sleep(0.05)
            _drive(settings, list(islice(cycle(asked), RATE * warm_up)))
            before = _cpu_seconds(process.pid)
            times = _drive(settings, asked)
            return Measured(times, (_cpu_seconds(process.pid) - before) * 1000 / len(asked))
        finally:
            process.terminate()


def _cpu_seconds(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


def _answers(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.api.url}/healthz").is_success
    except httpx.TransportError:
        return False


def _drive(settings: Settings, asked: list[tuple[str, str]]) -> dict[str, list[float]]:
    file = settings.home / "requests.json"
    file.write_text(json.dumps(asked))
    command = [sys.executable, "-m", "tests.bench.open_loop", settings.api.host, str(settings.api.port)]
    command += [str(RATE), str(file)]
    taken: dict[str, list[float]] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return taken


if __name__ == "__main__":
    record("count", main())
