"""A whole system under a steady load: how fresh its answers are, and how far its two layers are behind over time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final, NamedTuple

import psutil

from infra.host.home import Home
from infra.system import running as state_of
from stream.log import open_log
from stream.progress import has_passed
from tallymark.documents.progress import ARCHIVE, SPEED, read_progress
from tallymark.settings import Settings
from tallymark.store import ViewStore
from tallymark.store.open import open_store
from tests.bench.http_load import LATE
from tests.bench.phases import beside, say
from tests.bench.report import percentiles
from tests.support.systems import ROOT, environment, eventually, post, running, tallymark

__all__ = ["steady"]

_LAYERS: Final = {"speed": SPEED, "archive": ARCHIVE}
_CAUGHT_UP_WITHIN: Final = 180.0
_LOOK_EVERY: Final = 1.0


class _Look(NamedTuple):
    at: float  # monotonic
    processor: float  # seconds that the stream process and all below it have used
    behind: dict[str, int]  # records that the log holds and the layer has not told to have finished


def steady(
    settings: Settings, load: str, *, rate: int, warm_up: float, seconds: float, seal: bool = False
) -> dict[str, Any]:
    """`load`, a module of tests.bench, sends `rate` events a second to a system that `tallymark up` has started; what
    is sent in `seconds` after `warm_up` counts. `behind_s`: how much each layer is behind the log, in seconds of
    traffic, looked at every second; in the second half of the time no more than in the first, if it keeps up.
    `stream_cores`: what the stream process uses, in cores. `seal`: an hour for late probes is sealed before."""
    say(f"{rate:,} events/s by {load}, {warm_up:.0f} s of warm-up and {seconds:.0f} s that count")
    arguments = [str(rate), str(warm_up + seconds), str(warm_up)]
    with running(settings), closing(open_store(settings)) as store:
        if seal:
            _seal(settings)
        warm_at = time.monotonic() + warm_up
        with _looking(settings, store) as looks:
            done = subprocess.run(
                [sys.executable, "-m", f"tests.bench.{load}", *arguments],
                env=environment(settings),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
                timeout=warm_up + seconds + 2 * _CAUGHT_UP_WITHIN,
            )
            ended = time.monotonic()
        say("sent; waiting until all of it is counted")
        with closing(open_log(settings)) as log:
            end = log.end()
        caught_up = _until(lambda: _has_read(store, end), since=ended)
        memory = _memory(_stream(settings))
    found = json.loads(done.stdout)
    until = warm_at + seconds
    measured = [look for look in looks if warm_at <= look.at <= until]
    return {
        "log": settings.log.partition(":")[0],
        "store": settings.store.partition(":")[0],
        "events_per_second": rate,
        "lateness_s": settings.lateness.total_seconds(),
        "trigger_s": settings.counting_interval.total_seconds(),
        "measured_s": seconds,
        "events": found["sent"],
        **{
            shown: {**percentiles(found[name]), "probes": len(found[name])}
            for shown, name in (("fresh_after_s", "latencies"), ("late_after_s", "late_latencies"))
            if name in found
        },
        "unseen": found["unseen"],
        **{name: percentiles(found[name]) for name in ("post_ms", "count_ms") if name in found},
        "behind_s": {layer: _halves([look.behind[layer] / rate for look in measured]) for layer in _LAYERS},
        "counted_after_the_end_s": caught_up,
        "stream_memory_mib": round(memory / 2**20),
        "stream_cores": round((measured[-1].processor - measured[0].processor) / (measured[-1].at - measured[0].at), 2),
    }


def _seal(settings: Settings) -> None:
    """An event of then and one of now; a recount seals what lies between."""
    for age in (LATE, timedelta()):
        at = (datetime.now(UTC) - age).isoformat()
        status, said = post(
            settings.gateway,
            "/v1/events",
            {"event_id": f"seals-{age}", "type": "view", "video_id": "seals", "occurred_at": at},
        )
        assert status == 202, said
    until = (datetime.now(UTC) - LATE / 2).isoformat()

    def sealed() -> bool:
        ran = tallymark(settings, "recompute", "--json")  # not before both are in raw: until then there is nothing
        return ran.returncode == 0 and (json.loads(ran.stdout)["exact_until"] or "") > until

    eventually(sealed, within=_CAUGHT_UP_WITHIN, every=1)


def _until(holds: Callable[[], bool], *, since: float) -> float | str:
    """Seconds from `since` until it holds; a text when that takes too long."""
    while not holds():
        if time.monotonic() - since > _CAUGHT_UP_WITHIN:
            return f"more than {_CAUGHT_UP_WITHIN:.0f}"
        time.sleep(0.1)
    return round(time.monotonic() - since, 1)


def _halves(behind: Sequence[float]) -> dict[str, float]:
    halves = {"first": behind[: len(behind) // 2], "second": behind[len(behind) // 2 :]}
    return {
        f"{shown}_of_{half}_half": round(of(values), 1)
        for half, values in halves.items()
        for shown, of in (("median", median), ("most", max))
    }


@contextmanager
def _looking(settings: Settings, store: ViewStore) -> Iterator[list[_Look]]:
    looks: list[_Look] = []

    def look(ended: threading.Event) -> None:
        with closing(open_log(settings)) as log:
            while not ended.wait(_LOOK_EVERY):
                end = log.end()
                behind = {layer: _behind(store, layer, end) for layer in _LAYERS}
                looks.append(_Look(time.monotonic(), _processor(_stream(settings)), behind))

    with beside(look):
        yield looks


def _behind(store: ViewStore, layer: str, end: dict[int, int]) -> int:
    progress = read_progress(store, _LAYERS[layer])
    return sum(end.values()) - (sum(progress.positions.values()) if progress is not None else 0)


def _has_read(store: ViewStore, end: dict[int, int]) -> bool:
    progress = read_progress(store, SPEED)
    return progress is not None and has_passed(progress.positions, end)


def _stream(settings: Settings) -> list[psutil.Process]:
    """It and all below it."""
    state = state_of(Home(settings.home))
    assert state is not None, "the system has ended"
    process = psutil.Process(next(each.pid for each in state.processes if each.name == "stream"))
    return [process, *process.children(recursive=True)]


def _processor(processes: Sequence[psutil.Process]) -> float:
    """Seconds, those of ended children included."""
    return sum(map(_seconds, processes))


def _seconds(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])
    except psutil.NoSuchProcess:  # which counts among the children of its parent
        return 0.0


def _memory(processes: Sequence[psutil.Process]) -> int:
    """Bytes that they hold, shared ones once."""
    return sum(each.memory_full_info().pss for each in processes)
