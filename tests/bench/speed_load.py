"""A steady stream into the event log, with probes that are looked for in the view store.

Run as a process of its own: `python -m tests.bench.speed_load RATE SECONDS WARM_UP`; log and store are those of the
settings. Every event is new: ids do not repeat, videos follow a Pareto law, events occur up to three seconds before
they are sent. Five times a second one of them is a probe, an event of a video of its own. Prints {"sent", "unseen",
"latencies"} as JSON: seconds from the write to the first read that sees it, of the probes that were sent after WARM_UP.
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import NamedTuple

from stream.log import open_log
from tallymark.buckets import Grain, Span
from tallymark.cells import CellSpan
from tallymark.event import Event, encode
from tallymark.settings import Settings
from tallymark.store import View
from tallymark.store.open import open_store
from tests.bench.records import numbered, templates

PROBE_EVERY = 0.2
LOOK_EVERY = 0.02
NEWEST_EPOCH = 1 << 15


class Probe(NamedTuple):
    video_id: str
    minute: int
    sent_at: float


def _occurred_at(now_ms: int, number: int) -> int:
    return now_ms - number % 3000


def drive(settings: Settings, *, rate: int, seconds: float, warm_up: float) -> dict[str, object]:
    log, store = open_log(settings), open_store(settings)
    made = templates("pareto")
    waiting: list[Probe] = []
    latencies: list[float] = []
    began = time.time()
    sent, next_probe = 0, began
    while (now := time.time()) - began < seconds:
        due = int((now - began) * rate)
        now_ms = int(now * 1000)
        batch = list(numbered(made, range(sent, due), partial(_occurred_at, now_ms)))
        sent = due
        if now >= next_probe:
            next_probe += PROBE_EVERY
            name = f"probe-{sent}"
            batch.append((name, encode(Event(event_id=name, type="view", video_id=name, occurred_at=now_ms))))
            waiting.append(Probe(name, now_ms // 60_000, time.time()))
        log.append(batch)
        for probe in list(waiting):
            span = CellSpan(probe.video_id, "view", Span(Grain.MINUTE, probe.minute, probe.minute + 1))
            if store.get(View.SPEED, [span], version=NEWEST_EPOCH, users=False):
                waiting.remove(probe)
                if probe.sent_at - began >= warm_up:
                    latencies.append(time.time() - probe.sent_at)
        time.sleep(LOOK_EVERY)
    return {"sent": sent, "unseen": len(waiting), "latencies": latencies}


if __name__ == "__main__":
    rate, seconds, warm_up = sys.argv[1:]
    settings = Settings.load(os.environ)
    json.dump(drive(settings, rate=int(rate), seconds=float(seconds), warm_up=float(warm_up)), sys.stdout)
