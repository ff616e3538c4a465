"""`tallymark keep-exact`. What it needs is imported when there is something to do."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tallymark.settings import Settings

if TYPE_CHECKING:
    from batch.recompute import Recount
    from tallymark.store import ViewStore

__all__ = ["keep_exact"]

_NICENESS: Final = 10
_USUALLY: Final = timedelta(minutes=1)
_AUDIT_EVERY: Final = timedelta(minutes=10)
_MAINTAIN_EVERY: Final = timedelta(hours=1)
_MANY_VERSIONS: Final = 256  # half of what HBase keeps of a row
_log = logging.getLogger(__name__)


def keep_exact() -> None:
    """Recount what changed, every `recount_every`, then audit and maintain. `tallymark up` starts it for you.

    It yields to the stream when both want the cores, and may be ended at any moment. One is enough for a view store; a
    recount at the same time, by hand or from a schedule, does no harm.

    Example: tallymark keep-exact
    """
    from batch.keep.commits import commit_what_came
    from batch.keep.keeper import Chore, Keeper
    from batch.keep.looks import Looks
    from tallymark.logs import begin_logs
    from tallymark.store.open import open_store

    os.nice(_NICENESS)
    settings = Settings.load(os.environ)
    begin_logs(settings.logs)
    _log.setLevel(logging.INFO)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end())
    looks = Looks(
        lambda: open_store(settings),
        lambda store: _recount(store, settings),
        commit=commit_what_came,
        lateness=settings.lateness,
    )
    chores = [
        Chore(lambda: _run("audit"), every=_AUDIT_EVERY.total_seconds()),
        Chore(
            lambda: _run("maintain"),
            every=_MAINTAIN_EVERY.total_seconds(),
            versions=_MANY_VERSIONS,
        ),
    ]
    Keeper(looks, chores, every=(settings.recount_every or _USUALLY).total_seconds()).run()


def _recount(store: ViewStore, settings: Settings) -> Recount:
    from batch.keep.recount import recount
    from tallymark.cli.textfile import with_metrics

    done: list[Recount] = []

    def run() -> Mapping[str, float]:
        done.append(recount(store, settings))
        return done[0].figures

    try:
        with_metrics("recompute", run)()
    finally:
        if "pyspark" in sys.modules:  # there was much to count
            from tallymark.spark.session import end_jvm

            end_jvm()
    if done[0].published:
        at = done[0].publication
        _log.info(
            "version %d is published, exact until %s: %d events in %d pairs of an hour and a shard, %.1f s",
            at.version,
            f"{at.exact_until:%Y-%m-%d %H:%M} UTC",
            done[0].events,
            done[0].pairs,
            sum(done[0].seconds.values()),
        )
    return done[0]


def _run(command: str) -> None:
    """In a process of its own, so that what it loads is gone afterwards."""
    arguments = (sys.executable, "-m", "tallymark", command, "--json")
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    level = logging.WARNING if done.returncode else logging.INFO
    _log.log(level, "%s ended with %d: %s", command, done.returncode, _in_short(done.stdout) or done.stderr.strip())


def _in_short(document: str) -> str:
    """What a command printed, but for its lists and tables: `verdict=passed, hours=1`."""
    try:
        told = json.loads(document)
    except ValueError:
        return document.strip()
    return ", ".join(f"{name}={value}" for name, value in told.items() if not isinstance(value, dict | list))


def _end() -> None:
    """At once, whatever is under way: a recount, an audit and an upkeep may die anywhere."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(0)
