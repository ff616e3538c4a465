"""What the client costs an application, against a real gateway beside it: `python -m tests.bench.bench_client`.

At once: calls as fast as they return, so that caller and sender fight for the interpreter. By the clock: 50,000 events
a second. Away: by the clock too, no gateway there, and everything goes to disk; then how fast that is delivered.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tallymark.client import Producer
from tests.bench.gateway_load import gateway
from tests.bench.phases import deadline, number, say
from tests.bench.report import record
from tests.support.systems import ROOT, free_ports, settings_in

EVENTS: Final = 300_000
PER_S: Final = 50_000


def main() -> dict[str, Any]:
    rounds = number("CLIENT_ROUNDS", 3)
    figures: dict[str, list[Any]] = {
        name: [] for name in ("at_once", "by_the_clock", "with_spill", "away", "drained_per_s")
    }
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder) / "home")
        full_mb = _full_mb()
        for turn in range(rounds):
            say(f"round {turn + 1}")
            spill = Path(folder) / f"spill-{turn}"
            nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
            figures["away"].append(_load(nobody, PER_S, spill))
            with gateway(settings):
                figures["drained_per_s"].append(_drained_per_s(settings.gateway.url, spill))
                figures["at_once"].append(_load(settings.gateway.url, 0))
                figures["by_the_clock"].append(_load(settings.gateway.url, PER_S))
                figures["with_spill"].append(_load(settings.gateway.url, PER_S, spill))
    middle = {name: _middle(loads) for name, loads in figures.items()}
    return {"events": EVENTS, "by_the_clock_per_s": PER_S, "memory_full_mb": full_mb, **middle}


def _load(url: str, per_s: int, spill: Path | None = None) -> Any:
    arguments = [url, str(EVENTS), str(per_s), *([str(spill)] if spill else [])]
    command = [sys.executable, "-m", "tests.bench.client_load", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def _full_mb() -> float:
    """Memory of a process whose client holds as much as it may."""
    code = (
        "import os, sys; from tallymark.errors import Unavailable\n"
        "from tests.bench.client_load import Producer, rss_mb\n"
        "client = Producer(sys.argv[1])\n"
        "try:\n"
        "    while True: client.process_event('video-1', 'watched_time', value=30_000, user_id='user-123')\n"
        "except Unavailable: print(rss_mb(), flush=True); os._exit(0)"
    )
    command = [sys.executable, "-c", code, f"http://127.0.0.1:{free_ports(1)[0]}"]
    return round(float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout), 1)


def _drained_per_s(url: str, spill: Path) -> int:
    """Events a second of what an earlier process left on disk."""
    began = time.perf_counter()
    with Producer(url, spill=spill) as client:
        waiting = client.state.on_disk
        client.flush(120)
    return round(waiting / (time.perf_counter() - began))


def _middle(rounds: list[Any]) -> Any:
    """The round with the median time of a call, whole: figures of different rounds do not belong together."""
    key = (lambda each: each["call_us"]["p50"]) if isinstance(rounds[0], dict) else None
    return sorted(rounds, key=key)[len(rounds) // 2]


if __name__ == "__main__":
    with deadline(10):
        record("client", main())
