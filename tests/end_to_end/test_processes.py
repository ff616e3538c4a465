"""`tallymark up`, `status` and `down` over the real processes, with a client that sends and asks meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from systems import eventually, get, post, processes_of, tallymark, told

from tallymark.command.home import Home
from tallymark.command.state import SystemState
from tallymark.command.system import running
from tallymark.settings import Settings

READY_WITHIN = 60


def send(settings: Settings, video: str, count: int) -> None:
    now = round(time.time() * 1000)
    events = [{"event_id": str(uuid4()), "type": "view", "video_id": video, "occurred_at": now} for _ in range(count)]
    assert post(settings.gateway, "/v1/events", events) == (202, {"accepted": count, "rejected": []})


def views(settings: Settings, video: str) -> Any:
    status, answer = get(settings.api, f"/v1/count?video_id={video}&type=view&last=1h")
    return answer["value"] if status == 200 else None


def pid_of(settings: Settings, name: str) -> int:
    """The process id of a part that is ready."""

    def look() -> int | None:
        state: SystemState | None = running(Home(settings.home))
        return next((p.pid for p in state.processes if p.name == name and p.ready), None) if state else None

    found: int = eventually(look, within=READY_WITHIN)
    return found


def test_what_is_sent_is_counted_and_status_says_that_all_is_well(shared_system: Settings) -> None:
    send(shared_system, "fresh", 5)
    eventually(lambda: views(shared_system, "fresh") == 5)
    status = eventually(lambda: _well(shared_system))
    assert [process["name"] for process in status["processes"]] == ["gateway", "stream", "api"]
    assert all(process["memory_bytes"] > 10_000_000 for process in status["processes"])
    assert all(Path(process["log"]).is_file() for process in status["processes"])


def test_up_on_a_running_system_says_where_it_runs(shared_system: Settings) -> None:
    done = tallymark(shared_system, "up")
    assert done.returncode == 0
    assert "runs already" in done.stdout
    assert shared_system.gateway.url in done.stdout
    assert shared_system.api.url in done.stdout


def test_doctor_knows_that_the_ports_are_our_own(shared_system: Settings) -> None:
    checks = {check["name"]: check for check in told(shared_system, "doctor")["checks"]}
    assert "served by this system" in checks["api"]["found"]
    assert "served by this system" in checks["gateway"]["found"]


@pytest.mark.parametrize("name", ["gateway", "api", "stream"])
def test_a_killed_process_comes_back_and_nothing_is_lost(shared_system: Settings, name: str) -> None:
    send(shared_system, f"before-{name}", 3)
    before = pid_of(shared_system, name)
    os.kill(before, signal.SIGKILL)
    eventually(lambda: pid_of(shared_system, name) != before, within=READY_WITHIN)
    send(shared_system, f"after-{name}", 4)
    eventually(lambda: views(shared_system, f"before-{name}") == 3)
    eventually(lambda: views(shared_system, f"after-{name}") == 4)
    process = next(p for p in eventually(lambda: _well(shared_system))["processes"] if p["name"] == name)
    assert process["restarts"] == 1
    assert process["last_exit"] == "killed by SIGKILL"
    assert f"{name} ended by itself" in Home(shared_system.home).log("supervisor").read_text()


def test_a_killed_supervisor_takes_its_processes_along_and_up_starts_again(shared_system: Settings) -> None:
    system = shared_system  # the last test of it: starting one takes longer than all the rest
    send(system, "kept", 7)
    supervisor = told_status(system)["supervisor"]
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: not processes_of(system), within=30)
    done = tallymark(system, "status")
    assert done.returncode == 3
    assert "nothing runs" in done.stdout
    told(system, "up")
    eventually(lambda: views(system, "kept") == 7)
    assert told(system, "down")["stopped"]
    assert processes_of(system) == []
    assert not told(system, "down")["stopped"]


def told_status(settings: Settings) -> Any:
    return json.loads(tallymark(settings, "status", "--json").stdout)


def _well(settings: Settings) -> Any:
    """The status, once all is well."""
    status = told_status(settings)
    return status if status["well"] else None
