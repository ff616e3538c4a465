"""Where the gateway's knee is, and what a post takes at half of it: `python -m tests.bench.bench_knee`.

As many posts as it takes, then shares of that by the clock, where a late post counts from when it was due. With one and
with two processes on the port; gateway, load and log share the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from infra.system.processes import plans
from tallymark.settings import Settings
from tests.bench.phases import deadline, number, say
from tests.bench.post_load import EVENTS_PER_POST
from tests.bench.report import percentiles, record
from tests.support.systems import ROOT, environment, eventually, get, settings_in

CONNECTIONS: Final = 32
SHARES: Final = (0.5, 0.75, 0.9, 1.1)
WORKERS: Final = (1, 2)


def main() -> dict[str, Any]:
    seconds = number("KNEE_SECONDS", 6)
    return {
        "events_per_post": EVENTS_PER_POST,
        "connections": CONNECTIONS,
        "by_workers": {str(workers): _knee(workers, seconds) for workers in WORKERS},
    }


def _knee(workers: int, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder) / "home", gateway_workers=workers)
        with _gateways(settings):
            _load(settings, 2.0, 0.0)  # what is measured is a warm gateway
            most = _load(settings, seconds, 0.0)
            posts_per_s = len(most["post_ms"]) / most["seconds"]
            say(f"{workers} workers take {posts_per_s * EVENTS_PER_POST:,.0f} events/s")
            found = {}
            for share in SHARES:
                told = _load(settings, seconds, share * posts_per_s)
                events_per_s = round(told["events"] / told["seconds"])
                found[f"{share:.0%}"] = {"events_per_s": events_per_s, "post_ms": percentiles(told["post_ms"])}
                say(f"{share:.0%}: {found[f'{share:.0%}']}")
    return {
        "events_per_s": round(posts_per_s * EVENTS_PER_POST),
        "post_ms": percentiles(most["post_ms"]),
        "at_shares_of_it": found,
    }


@contextmanager
def _gateways(settings: Settings) -> Iterator[None]:
    commands = [plan.command for plan in plans(settings) if plan.name.startswith("gateway")]
    with ExitStack() as stack:
        for command in commands:
            process = stack.enter_context(subprocess.Popen(command, env=environment(settings), cwd=ROOT))
            stack.callback(process.terminate)
        eventually(lambda: get(settings.gateway, "/readyz")[0] == 200)
        yield


def _load(settings: Settings, seconds: float, posts_per_s: float) -> dict[str, Any]:
    arguments = [str(settings.gateway.port), str(CONNECTIONS), str(seconds), str(posts_per_s)]
    command = [sys.executable, "-m", "tests.bench.post_load", *arguments]
    told: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    return told


if __name__ == "__main__":
    with deadline(5):
        record("knee", main())
