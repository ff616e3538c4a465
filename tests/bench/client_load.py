"""An application with the client in it, and what the calls cost that application.

Run as a process of its own: `python -m tests.bench.client_load URL EVENTS PER_S [SPILL]`. Calls are made as fast as
they return (0), or by the clock in bursts each millisecond, as an application makes them that does other things too.
Prints JSON; `call_us` is of calls alone, without the loop around them, and `rss_mb` of the whole process.
"""

from __future__ import annotations

import json
import resource
import sys
import time

_began = time.perf_counter()
from tallymark.client import Producer  # noqa: E402 (its import is measured)

_import_ms = (time.perf_counter() - _began) * 1000


def rss_mb() -> float:
    with open("/proc/self/statm") as statm:  # noqa: PTH123 (as little as can be is imported here)
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


def main(url: str, events: int, per_s: int, spill: str | None) -> dict[str, object]:
    imported_mb = rss_mb()
    client = Producer(url, spill=spill, when_full="drop")
    made_mb = rss_mb()
    videos = [f"video-{number}" for number in range(1000)]
    users = [f"user-{number}" for number in range(777)]
    taken = memoryview(bytearray(4 * events)).cast("I")  # nanoseconds
    bench_mb = rss_mb() - made_mb
    now, most_mb = time.perf_counter_ns, 0.0
    began = time.perf_counter()
    number = 0
    while number < events:
        due = min(events, int((time.perf_counter() - began) * per_s)) if per_s else min(events, number + 10_000)
        while number < due:
            video, user = videos[number % 1000], users[number % 777]
            start = now()
            client.process_event(video, "watched_time", value=number, user_id=user)
            taken[number] = min(now() - start, 2**32 - 1)
            number += 1
        most_mb = max(most_mb, rss_mb())
        if per_s:
            time.sleep(0.001)
    made = time.perf_counter() - began
    on_disk = client.state.on_disk
    delivered: float | None = None
    if client.state.problem is None:
        client.flush(120)
        delivered = time.perf_counter() - began
    most_mb = max(most_mb, rss_mb())
    state = client.state
    client.close(0.1)
    ordered = sorted(taken)
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return {
        "import_ms": round(_import_ms),
        "call_us": {name: round(ordered[int(events * part)] / 1000, 1) for name, part in at.items()}
        | {"max": round(ordered[-1] / 1000)},
        "made_per_s": round(events / made),
        "delivered_per_s": round((events - state.dropped) / delivered) if delivered else None,
        "dropped": state.dropped,
        "on_disk": on_disk,
        "rss_mb": {
            "imported": round(imported_mb, 1),
            "most": round(most_mb - bench_mb, 1),
            "grown": round(most_mb - bench_mb - imported_mb, 1),
        },
    }


if __name__ == "__main__":
    url, events, per_s, *spill = sys.argv[1:]
    print(json.dumps(main(url, int(events), int(per_s), spill[0] if spill else None)))
