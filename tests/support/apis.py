"""The query API as a process of its own, over a store that a test has filled."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx

from tallymark.buckets import Grain
from tallymark.client import Counts
from tallymark.event import Event
from tallymark.instants import minute_of
from tallymark.settings import Settings
from tallymark.store.open import open_store
from tests.support import both_views as views
from tests.support.systems import ROOT, environment, eventually


class Api(NamedTuple):
    """A running API, what it was filled with, and where its exact part ends."""

    settings: Settings
    log: list[Event]
    exact_until: datetime

    @property
    def url(self) -> str:
        return self.settings.api.url


@contextmanager
def filled_api(settings: Settings) -> Iterator[Api]:
    """An API over the store that `fill` makes."""
    log, exact_until = fill(settings)
    with api_process(settings):
        yield Api(settings, log, exact_until)


@contextmanager
def api_process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`tallymark api`, ready; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "tallymark", "api"]
    with subprocess.Popen(command, env=environment(settings), cwd=ROOT) as process:
        try:
            eventually(lambda: process.poll() is not None or is_ready(settings), within=60)
            assert process.poll() is None, "the API ended before it was ready"
            yield process
        finally:
            process.kill()


def is_ready(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.api.url}/readyz").is_success
    except httpx.TransportError:
        return False


def client(settings: Settings) -> Counts:
    return Counts.of(settings)


def fill(settings: Settings) -> tuple[list[Event], datetime]:
    """Views of video `ab`, one a minute for the last five hours; returns them and exact_until, two hours or so ago.

    Both layers claim to be up to date for the next hour, whatever the clock says.
    """
    now = datetime.now(UTC)
    end = minute_of(now)
    boundary = Grain.HOUR.floor(end - 120)
    log = [
        Event(
            event_id=f"e{n}", type="view", video_id="ab", occurred_at=(end - n) * 60_000, value=n, user_id=f"u{n % 50}"
        )
        for n in range(300)
    ]
    store = open_store(settings)
    views.fill_batch(store, log)
    views.fill_speed(store, log)
    views.set_publication(store, boundary)
    for layer in ("speed", "archive"):
        views.set_progress(store, layer, now + timedelta(hours=1))
    store.close()
    return log, datetime.fromtimestamp(boundary * 60, UTC)
