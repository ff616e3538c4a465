"""The supervisor over small programs that crash, hang, and leave children behind, as real ones do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.host.home import Home
from infra.host.lock import holder
from infra.system.child import Child, Plan
from infra.system.processes import clear_leftovers
from infra.system.state import SystemState, read_state
from tallymark.settings import Settings
from tests.support.systems import ROOT, environment, eventually, processes_of

SUPERVISE = """
import json, os, sys
from pathlib import Path
from infra.system.child import Plan
from infra.system.supervisor import supervise
from tallymark.settings import Settings

plans = json.loads(sys.argv[1])
supervise(
    Settings.load(os.environ),
    [Plan(name, (sys.executable, "-c", code), Path(os.environ["TALLYMARK_HOME"], name).exists) for name, code in plans],
    environment=os.environ,
)
"""
# says that it is ready, notes when it ends, and starts what outlives a careless end: a child in a group of its own
GOOD = """
import os, signal, subprocess, sys, time
from pathlib import Path
from tallymark.cli.lifeline import follow

follow(int(os.environ["LIFELINE_FD"]))
home = Path(os.environ["TALLYMARK_HOME"])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)

def end(*_):
    with (home / "ended").open("a") as file:
        file.write("NAME ")
    sys.exit(0)

signal.signal(signal.SIGTERM, end)
(home / "NAME").touch()
time.sleep(600)
"""
CRASHING = "import sys; sys.exit(7)"


@contextmanager
def supervised(settings: Settings, **programs: str) -> Iterator[subprocess.Popen[bytes]]:
    plans = json.dumps([(name, code.replace("NAME", name)) for name, code in programs.items()])
    process = subprocess.Popen([sys.executable, "-c", SUPERVISE, plans], cwd=ROOT, env=environment(settings))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        clear_leftovers(Home(settings.home))


def once(settings: Settings, holds: Callable[[SystemState], Any]) -> SystemState:
    """The first state for which `holds`."""

    def look() -> SystemState | None:
        state = read_state(Home(settings.home))
        return state if state is not None and holds(state) else None

    found: SystemState = eventually(look, within=20)
    return found


def test_children_end_in_order_and_leave_nobody_behind(settings: Settings) -> None:
    with supervised(settings, first=GOOD, second=GOOD, third=GOOD) as supervisor:
        once(settings, lambda state: state.ready)
        assert len(processes_of(settings)) == 1 + 2 * 3
        supervisor.terminate()
        assert supervisor.wait(20) == 0
    assert (settings.home / "ended").read_text() == "first second third "
    assert processes_of(settings) == []
    assert holder(Home(settings.home).lock) is None
    assert read_state(Home(settings.home)) is None


def test_a_crashed_child_starts_again_without_what_it_left_behind(settings: Settings) -> None:
    with supervised(settings, only=GOOD):
        before = once(settings, lambda state: state.ready).processes[0]
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        after = once(settings, lambda state: state.ready and state.processes[0].restarts == 1).processes[0]
        assert after.pid != before.pid
        assert after.last_exit == "killed by SIGKILL"
        assert after.last_exit_at is not None
        assert len(processes_of(settings)) == 1 + 2


def test_a_child_that_crashes_at_once_starts_again_later_and_later(settings: Settings) -> None:
    with supervised(settings, only=CRASHING):
        state = once(settings, lambda state: state.processes[0].restarts == 2)
        assert not state.ready
        assert state.processes[0].last_exit == "exit code 7"


def test_children_end_by_themselves_when_the_supervisor_is_killed(settings: Settings) -> None:
    with supervised(settings, first=GOOD, second=GOOD) as supervisor:
        once(settings, lambda state: state.ready)
        supervisor.kill()
        supervisor.wait()
        eventually(lambda: (settings.home / "ended").exists() and len(processes_of(settings)) == 2, within=10)
        assert holder(Home(settings.home).lock) is None
        assert clear_leftovers(Home(settings.home)) == 2
    assert processes_of(settings) == []


def test_a_home_has_one_supervisor(settings: Settings) -> None:
    with supervised(settings, only=GOOD) as first:
        once(settings, lambda state: state.ready)
        with supervised(settings, only=GOOD) as second:
            assert second.wait(20) != 0
        assert first.poll() is None
        assert holder(Home(settings.home).lock) == first.pid


def test_a_child_that_ignores_the_request_to_end_is_killed(settings: Settings) -> None:
    code = GOOD.replace("sys.exit(0)", "return").replace("NAME", "stubborn")
    home = Home(settings.home)
    home.prepare()
    plan = Plan("stubborn", (sys.executable, "-c", code), (home.root / "stubborn").exists)
    lifeline, kept = os.pipe()
    child = Child(plan, home, environment=environment(settings), lifeline=lifeline, say=lambda _: None)
    eventually(lambda: child.step() or child.state().ready, within=20)
    child.stop(grace=0.2)
    os.close(lifeline)
    os.close(kept)
    assert child.state().last_exit == "killed by SIGKILL"
    assert processes_of(settings) == []
