"""The three runs, each on a system of its own in a temporary folder: what was sent, and what became of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import psutil

from stream.log import open_log
from tallymark.settings import Settings
from tests.bench.phases import say
from tests.bench.report import RESULTS
from tests.load.figures import accepted_events, curve, disk, memory, summary
from tests.load.generator import Told
from tests.load.watch import Look, looking
from tests.support.systems import ROOT, environment, running, settings_in

__all__ = ["Much", "load", "soak", "stress"]

MOST_REFUSED: Final = 0.01  # of all posts, up to the knee
GROWTH: Final = 1.5  # from one step of the stress run to the next
MOST_EVENTS_PER_S: Final = 500_000
BEYOND: Final = (2.0, 3.0)
SETTLED_AFTER: Final = 3.0  # seconds of each step that do not count
WINDOW: Final = 5
LOGS: Final = RESULTS / "load" / "logs"


class Much(NamedTuple):
    """How much of everything. In a stress run `events_per_s` is where it begins, and `seconds` is of each step."""

    events_per_s: float
    questions_per_s: float
    seconds: float
    warm_up: float


def load(much: Much) -> dict[str, Any]:
    """A steady load at the nominal rate."""
    with _system() as settings:
        _warm_up(settings, much)
        say(f"{much.events_per_s:,.0f} events/s and {much.questions_per_s:,.0f} questions/s for {much.seconds:.0f} s")
        told, busy = _drive(settings, much)
    windows = range(0, int(much.seconds) - WINDOW + 1, WINDOW)
    return {
        **much._asdict(),
        **summary(told, since=0, until=much.seconds),
        "machine_busy": busy,
        "probes_unseen": told.unseen,
        "by_percentile": {
            "post_ms": curve([post[2] for post in told.posts]),
            "question_ms": curve([question[2] for question in told.questions]),
        },
        "over_time": [{"at_s": at, **summary(told, since=at, until=at + WINDOW)} for at in windows],
    }


def stress(much: Much) -> dict[str, Any]:
    """More and more until a step is too much; then half of the last one that was not, the knee, and twice and three
    times as much."""
    sent: list[Told] = []

    def step(rate: float) -> dict[str, Any]:
        told, busy = _drive(settings, much._replace(events_per_s=rate))
        sent.append(told)
        found = {
            "asked_events_per_s": round(rate),
            **summary(told, since=SETTLED_AFTER, until=much.seconds),
            "machine_busy": busy,
        }
        say(
            f"{rate:,.0f} events/s: {found['accepted_events_per_s']:,} accepted, {found['refused']:.0%} refused, "
            f"p50 {found['post_ms'].get('p50')} ms, p99 {found['post_ms'].get('p99')} ms"
        )
        return found

    with _system() as settings:
        sent.append(_warm_up(settings, much))
        steps, rate = [step(much.events_per_s)], much.events_per_s
        while _bears(steps[-1]) and (rate := rate * GROWTH) <= MOST_EVENTS_PER_S:
            steps.append(step(rate))
        knee = max((each["asked_events_per_s"] for each in steps if _bears(each)), default=0)
        half, *beyond = [step(share * knee) for share in (0.5, *BEYOND)] if knee else [None]
        with closing(open_log(settings)) as log:
            logged = sum(end - 1 for end in log.end().values())  # the first offset is 1
    return {
        **much._asdict(),
        "knee_events_per_s": knee,
        "most_refused": MOST_REFUSED,
        "steps": steps,
        "half": half,
        "beyond": [{"knees": share, **each} for share, each in zip(BEYOND, beyond, strict=False)],
        "accepted_events": sum(map(accepted_events, sent)),
        "events_in_the_log": logged,
    }


def soak(much: Much) -> dict[str, Any]:
    """A modest load for long, after a warm-up: does anything grow that should not?"""
    whole = much._replace(seconds=much.warm_up + much.seconds)
    with _system() as settings:
        say(
            f"{much.events_per_s:,.0f} events/s for {much.warm_up:.0f} s of warm-up and {much.seconds:.0f} s that count"
        )
        with looking(settings) as looks:
            told, busy = _drive(settings, whole)
    since = told.began_at + much.warm_up
    return {
        **much._asdict(),
        **summary(told, since=much.warm_up, until=whole.seconds),
        "machine_busy": busy,
        "probes_unseen": told.unseen,
        "restarts": looks[-1].restarts,
        "memory": {name: memory(name, looks, since=since) for name in sorted(looks[-1].memory)},
        "home": {part: disk(part, looks, since=since) for part in sorted(looks[-1].files)},
        "by_minute": [
            _minute(told, looks, since=at, until=min(at + 60, whole.seconds)) for at in range(0, int(whole.seconds), 60)
        ],
    }


@contextmanager
def _system() -> Iterator[Settings]:
    """As `tallymark up` runs it, with its recounts."""
    with TemporaryDirectory(prefix="tallymark-load-") as folder:
        usual = Settings()
        kept = {name: getattr(usual, name) for name in ("archive_trigger", "recount_every", "max_wait")}
        settings = settings_in(Path(folder) / "home", **kept)
        say("starting a system")
        try:
            with running(settings):
                yield settings
        finally:
            shutil.copytree(settings.home / "logs", LOGS, dirs_exist_ok=True)


def _warm_up(settings: Settings, much: Much) -> Told:
    say(f"{much.warm_up:.0f} s of warm-up")
    return _drive(settings, much._replace(seconds=much.warm_up))[0]


def _drive(settings: Settings, much: Much) -> tuple[Told, float]:
    """What the generator told, and how much of the machine was busy meanwhile, by anybody."""
    psutil.cpu_percent()
    done = subprocess.run(
        [sys.executable, "-m", "tests.load.generator", *map(str, much[:3])],
        env=environment(settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=much.seconds + 120,
    )
    return Told(**json.loads(done.stdout)), round(psutil.cpu_percent() / 100, 2)


def _bears(step: dict[str, Any]) -> bool:
    """Nearly all was accepted: a machine that others use too stands still at times."""
    refused: float = step["refused"] + step["unanswered"]
    return refused <= MOST_REFUSED


def _minute(told: Told, looks: list[Look], *, since: float, until: float) -> dict[str, Any]:
    """One minute of a soak: its figures, and the last look of it."""
    seen = [look for look in looks if since <= look.at - told.began_at < until]
    last = {"memory_mb": seen[-1].memory, "files": seen[-1].files, "disk_mb": seen[-1].disk} if seen else {}
    rounded = {key: {name: round(value, 1) for name, value in values.items()} for key, values in last.items()}
    return {"until_s": until, **summary(told, since=since, until=until), **rounded}
