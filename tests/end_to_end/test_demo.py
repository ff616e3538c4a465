"""A small slice of the demo: its whole scenario, over six days of real events, on files and on servers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from infra.demo.truth import Subject, Truth, read_flights
from infra.host.home import Home
from infra.system import running
from tallymark.settings import Settings
from tests.support.clusters import RunningCluster
from tests.support.systems import ROOT, environment, eventually, processes_of, settings_in, tallymark

SECOND_OF_2014 = 1_388_534_400


@pytest.fixture(scope="module")
def flights() -> Truth:
    return read_flights()


def test_the_truth_is_what_is_known_about_the_file(flights: Truth) -> None:
    views, miles = flights.counts(0, SECOND_OF_2014), flights.miles(0, SECOND_OF_2014)
    assert len(flights.flights) == 336_776
    assert sum(count for subject, count in views.items() if subject.type == "view") == 328_521
    assert len([subject for subject in views if subject.type == "view"]) == 104
    assert [views[Subject(name, "view")] for name in ("ATL", "ORD", "LAX")] == [16_898, 16_642, 16_076]
    assert sum(count for subject, count in miles.items() if subject.type == "view") == 344_477_462
    assert (views.total(), miles.total()) == (336_776, 350_217_607)


class Demo(NamedTuple):
    """Settings of the command and of the system that it starts, options, and what demos have left around it."""

    settings: Settings
    system: Settings
    options: tuple[str, ...]
    left: Callable[[], object]


@pytest.fixture
def a_demo(mode: str, settings: Settings, request: pytest.FixtureRequest) -> Demo:
    """On a cluster it uses the one that runs already."""
    if mode == "embedded":
        return Demo(settings, settings_in(settings.home / "demo"), (), lambda: None)
    servers: RunningCluster = request.getfixturevalue("cluster")
    home = servers.cluster.home.root.parent
    return Demo(settings_in(home), settings_in(home / "demo-cluster"), ("--cluster",), lambda: servers.contents("demo"))


@pytest.mark.slow
def test_six_days_of_the_demo_agree_with_the_truth_and_leave_nothing_running(a_demo: Demo) -> None:
    settings, system, options, left = a_demo
    before = left()
    done = tallymark(settings, "demo", "--days", "6", "--json", *options, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["problems"] == []
    assert sum(recount["asked"] for recount in told["recounts"]) > 100
    assert all(row["batch"] == row["truth"] for row in told["comparison"])
    assert all(row["exact_part"] + row["fresh_part"] == row["stitched"] for row in told["seam"])
    assert all(replay["sent"] == replay["accepted"] for replay in told["replays"])
    assert sum(replay["resent"] for replay in told["replays"]) > 0
    assert processes_of(system) == []
    assert not system.home.exists()
    assert left() == before


def test_without_maven_a_demo_on_a_cluster_says_what_to_install(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = tallymark(settings, "demo", "--cluster")
    assert done.returncode == 1
    assert "there is no `mvn`; install it" in done.stderr
    assert not settings.home.exists()


def test_an_interrupted_demo_leaves_nothing_running(settings: Settings) -> None:
    demo_home = settings_in(settings.home / "demo")
    words = [sys.executable, "-m", "tallymark", "demo"]
    process = subprocess.Popen(words, cwd=ROOT, env=environment(settings), stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: running(Home(demo_home.home)))
        process.terminate()
        assert process.wait(120) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert processes_of(demo_home) == []


def test_an_interrupted_demo_ends_the_servers_that_it_has_started(machine: None, settings: Settings) -> None:
    of_servers = settings_in(settings.home / "demo-cluster" / "infra")
    words = [sys.executable, "-m", "tallymark", "demo", "--cluster"]
    process = subprocess.Popen(words, cwd=ROOT, env=environment(settings), stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: processes_of(of_servers))
        process.terminate()
        assert process.wait(120) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert processes_of(of_servers) == []


def test_the_demo_spares_a_folder_that_is_not_its_own(settings: Settings) -> None:
    own = settings.home / "demo" / "precious.txt"
    own.parent.mkdir(parents=True)
    own.touch()
    done = tallymark(settings, "demo")
    assert done.returncode == 1
    assert "is not from a demo" in done.stderr

    assert [path.name for path in own.parent.iterdir()] == ["precious.txt"]
