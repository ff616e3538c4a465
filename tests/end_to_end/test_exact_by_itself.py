"""Counts become exact while `tallymark up` runs, and nobody has to know a command for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from infra.host.home import Home
from infra.system import running as state_of
from tallymark.event import Event
from tallymark.instants import instant
from tallymark.settings import Settings
from tests.support.apis import client
from tests.support.gateways import send, views
from tests.support.systems import eventually, processes_of, running, tallymark

PATIENCE: Final = 180
EVERY: Final = timedelta(seconds=2)


@pytest.fixture(scope="module")
def system(new_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(new_settings(tmp_path_factory.mktemp("exact") / "home", recount_every=EVERY)) as settings:
        yield settings


@pytest.fixture(scope="module")
def hour() -> datetime:
    """The begin of an hour that is sealed as soon as an event of now has come."""
    return (datetime.now(UTC) - timedelta(hours=3)).replace(minute=0, second=0, microsecond=0)


def events(hour: datetime, *names: str) -> list[Event]:
    began_ms = round(hour.timestamp() * 1000)
    return [
        Event(event_id=name, type="view", video_id="intro", occurred_at=began_ms + n * 60_000)
        for n, name in enumerate(names)
    ]


def answer(settings: Settings, hour: datetime) -> tuple[int | None, bool, int]:
    with client(settings) as api:
        given = api.count("intro", start=hour, end=hour + timedelta(hours=1))
    return given.value, given.exact, given.late_pending


def log_of(settings: Settings) -> str:
    return Home(settings.home).log("keep-exact").read_text()


def test_an_hour_that_ended_is_exact_without_any_command(system: Settings, hour: datetime) -> None:
    sent = events(hour, "a", "b", "c")
    for post in (sent, sent[:1]):
        assert send(system, post).status == 202
    assert send(system, views("now", 1)).status == 202
    eventually(lambda: answer(system, hour) == (3, True, 0), within=PATIENCE)


def test_a_late_event_is_exact_a_moment_later(system: Settings, hour: datetime) -> None:
    assert send(system, events(hour, "d")).status == 202
    eventually(lambda: answer(system, hour) == (4, True, 0), within=PATIENCE)


def test_what_was_published_is_audited_and_maintained(system: Settings) -> None:
    eventually(lambda: "audit ended with 0" in log_of(system), within=PATIENCE)
    eventually(lambda: "maintain ended with 0" in log_of(system), within=PATIENCE)
    assert "Traceback" not in log_of(system)


def test_status_shows_the_process_and_it_yields_to_others(system: Settings) -> None:
    status: Any = json.loads(tallymark(system, "status", "--json").stdout)
    (shown,) = [process for process in status["processes"] if process["name"] == "keep-exact"]
    assert (shown["doing"], shown["restarts"]) == ("ready", 0)
    assert Path(shown["log"]).is_file()
    assert psutil.Process(shown["pid"]).nice() == 10
    assert instant(0) < datetime.fromisoformat(status["publication"]["exact_until"])


def test_down_ends_it_too(system: Settings) -> None:
    state = state_of(Home(system.home))  # the last test of it
    assert state is not None
    assert [process.name for process in state.processes] == ["gateway", "keep-exact", "stream", "api"]
    tallymark(system, "down")
    assert processes_of(system) == []
    assert "keep-exact ended: exit code 0" in Home(system.home).log("supervisor").read_text()
