"""A whole system as people run it, on files and on servers: what is sent is counted, at once and then exactly, and what
dies comes back."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from infra.host.home import Home
from infra.system import SystemState
from infra.system import running as state_of
from infra.system.report import stored
from tallymark.buckets import Grain, TimeRange
from tallymark.cells import STEP_MS
from tallymark.event import Event
from tallymark.instants import instant, minute_of
from tallymark.settings import Settings
from tallymark.tally import ZERO, Tally
from tests.support import oracle
from tests.support.apis import client
from tests.support.gateways import send, views
from tests.support.modes import embedded_only
from tests.support.systems import eventually, get, processes_of, running, tallymark, told

READY_WITHIN: Final = 180  # Spark, on a machine that is busy with other tests
PATIENCE: Final = 120  # of what Spark must do first, on a busy machine
LATENESS: Final = timedelta(hours=3)
VIDEOS: Final = ("intro", "ü/?#%", "rare")


@pytest.fixture(scope="module")
def shared_system(
    new_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """One running system for all tests, which take video ids of their own. It waits long for late events, so that it
    counts what is sent of past hours."""
    with running(new_settings(tmp_path_factory.mktemp("system") / "home", lateness=LATENESS)) as settings:
        yield settings


@pytest.fixture(scope="module")
def past() -> TimeRange:
    """Two hours that are sealed as soon as an event of now has come: they ended as long ago as the system waits."""
    end = Grain.HOUR.floor(minute_of(datetime.now(UTC) - LATENESS))
    return TimeRange(end - 120, end)


@pytest.fixture(scope="module")
def log(past: TimeRange) -> list[Event]:
    """Events of those hours."""
    rng = random.Random(past.start)
    return [
        Event(
            event_id=f"past-{n}",
            type=rng.choice(["view", "like"]),
            video_id=rng.choices(VIDEOS, [60, 39, 1])[0],
            occurred_at=rng.randrange(past.start, past.end) * 60_000 + n % 60_000,
            value=rng.randrange(-50, 1000),
            user_id=rng.choice([None, "ann", "bob"]),
        )
        for n in range(3000)
    ]


def truth(log: Sequence[Event], past: TimeRange) -> dict[tuple[str, str], Tally]:
    """What the oracle counts, by video and type."""
    assert all(past.start <= event.occurred_at // 60_000 < past.end for event in log)
    totals: dict[tuple[str, str], Tally] = defaultdict(lambda: ZERO)
    for key, tally in oracle.cells(log, Grain.HOUR).items():
        totals[key.video_id, key.type] += tally
    return totals


def counts(settings: Settings, past: TimeRange, *, as_of: int | None = None) -> tuple[set[bool], dict[Any, int]]:
    """(what is said about exactness, the counts by video and type)."""
    asked = [(video, kind) for video in VIDEOS for kind in ("view", "like")]
    span = {"start": instant(past.start), "end": instant(past.end)}
    with client(settings) as api:
        answers = api.query([{"video_id": v, "type": t, **span} for v, t in asked], as_of=as_of)
    return {answer.exact for answer in answers}, {
        pair: answer.value for pair, answer in zip(asked, answers, strict=True)
    }


def archived(settings: Settings) -> None:
    """Return when all that was sent until now is among the raw events."""
    counted = datetime.now(UTC) + timedelta(milliseconds=STEP_MS)

    def is_in() -> bool:
        archive = stored(settings).archive
        return archive is not None and archive.included_until > counted

    eventually(is_in, within=PATIENCE)


def test_what_is_sent_is_counted_at_once_and_exactly_when_it_was_recounted(
    shared_system: Settings, log: list[Event], past: TimeRange
) -> None:
    for post in (log, log[::30]):  # a client that did not hear the answer sends again
        assert send(shared_system, post).json == {"accepted": len(post), "rejected": []}
    expected = {pair: tally.count for pair, tally in truth(log, past).items()}
    eventually(lambda: counts(shared_system, past) == ({False}, expected), within=PATIENCE)

    assert send(shared_system, views("now", 1)).status == 202
    archived(shared_system)
    recount = told(shared_system, "recompute")
    assert (recount["version"], recount["missing"]) == (1, 0)
    assert counts(shared_system, past) == ({True}, expected)
    for (video, kind), tally in truth(log, past).items():
        with client(shared_system) as api:
            stats = api.stats(video, kind, start=instant(past.start), end=instant(past.end))
        assert (stats.count, stats.sum, stats.min, stats.max) == (tally.count, tally.sum, tally.min, tally.max)
        # what was sent may be younger than the lateness, and not looked through yet
        assert (stats.coverage.missing, stats.coverage.checked_until is not None) == (0, True)


def test_a_late_event_is_said_to_be_pending_then_counted_and_a_rollback_takes_it_away(
    shared_system: Settings, log: list[Event], past: TimeRange
) -> None:
    before = counts(shared_system, past)
    late = Event(event_id="late", type="view", video_id="rare", occurred_at=past.start * 60_000)
    assert send(shared_system, [late]).status == 202

    def pending() -> tuple[object, ...]:
        with client(shared_system) as api:
            answer = api.count("rare", start=instant(past.start), end=instant(past.end))
        return answer.value, answer.exact, answer.late_pending, answer.upper

    value = before[1]["rare", "view"]
    eventually(lambda: pending() == (value, False, 1, value + 1), within=PATIENCE)
    archived(shared_system)
    assert told(shared_system, "recompute")["version"] == 2
    expected = {pair: tally.count for pair, tally in truth([*log, late], past).items()}
    assert counts(shared_system, past) == ({True}, expected)
    assert counts(shared_system, past, as_of=1)[1] == before[1]

    told(shared_system, "rollback", "1")
    assert counts(shared_system, past)[1] == before[1]
    told(shared_system, "rollback", "2")
    assert counts(shared_system, past)[1] == expected
    assert [row["version"] for row in told(shared_system, "versions")["versions"]] == [1, 2, 1, 2]


def some(settings: Settings, video: str, count: int) -> None:
    assert send(settings, views(video, count)).json == {"accepted": count, "rejected": []}


def seen(settings: Settings, video: str) -> Any:
    status, answer = get(settings.api, f"/v1/count?video_id={video}&type=view&last=1h")
    return answer["value"] if status == 200 else None


def pid_of(settings: Settings, name: str) -> int:
    """The process id of a part that is ready."""

    def look() -> int | None:
        state: SystemState | None = state_of(Home(settings.home))
        return next((p.pid for p in state.processes if p.name == name and p.ready), None) if state else None

    found: int = eventually(look, within=READY_WITHIN)
    return found


def test_status_says_that_all_is_well(shared_system: Settings) -> None:
    some(shared_system, "fresh", 5)
    eventually(lambda: seen(shared_system, "fresh") == 5, within=PATIENCE)
    status = eventually(lambda: _well(shared_system), within=PATIENCE)
    assert [process["name"] for process in status["processes"]] == ["gateway", "stream", "api"]
    assert all(process["memory_bytes"] > 10_000_000 for process in status["processes"])
    assert all(Path(process["log"]).is_file() for process in status["processes"])


@embedded_only
def test_up_on_a_running_system_says_where_it_runs(shared_system: Settings) -> None:
    done = tallymark(shared_system, "up")
    assert done.returncode == 0
    assert "runs already" in done.stdout
    assert shared_system.gateway.url in done.stdout
    assert shared_system.api.url in done.stdout


@embedded_only
def test_doctor_knows_that_the_ports_are_our_own(shared_system: Settings) -> None:
    checks = {check["name"]: check for check in told(shared_system, "doctor")["checks"]}
    assert "served by this system" in checks["api"]["found"]
    assert "served by this system" in checks["gateway"]["found"]


@pytest.mark.parametrize("name", ["gateway", "api", "stream"])
@pytest.mark.slow
def test_a_killed_process_comes_back_and_nothing_is_lost(shared_system: Settings, name: str) -> None:
    some(shared_system, f"before-{name}", 3)
    before = pid_of(shared_system, name)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid_of(shared_system, name) != before, within=READY_WITHIN)
    some(shared_system, f"after-{name}", 4)
    eventually(lambda: seen(shared_system, f"before-{name}") == 3, within=PATIENCE)
    eventually(lambda: seen(shared_system, f"after-{name}") == 4, within=PATIENCE)
    process = next(
        p for p in eventually(lambda: _well(shared_system), within=PATIENCE)["processes"] if p["name"] == name
    )
    assert process["restarts"] == 1
    assert process["last_exit"] == "killed by SIGKILL"
    assert f"{name} ended by itself" in Home(shared_system.home).log("supervisor").read_text()


@embedded_only
@pytest.mark.slow
def test_a_killed_supervisor_takes_its_processes_along_and_up_starts_again(shared_system: Settings) -> None:
    system = shared_system  # the last test of it: starting one takes longer than all the rest
    some(system, "kept", 7)
    supervisor = told_status(system)["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not processes_of(system), within=30)
    done = tallymark(system, "status")
    assert done.returncode == 3
    assert "nothing runs" in done.stdout
    told(system, "up")
    eventually(lambda: seen(system, "kept") == 7, within=PATIENCE)
    assert told(system, "down")["stopped"]
    assert processes_of(system) == []
    assert not told(system, "down")["stopped"]


def told_status(settings: Settings) -> Any:
    return json.loads(tallymark(settings, "status", "--json").stdout)


def _well(settings: Settings) -> Any:
    """The status, once all is well."""
    status = told_status(settings)
    return status if status["well"] else None
