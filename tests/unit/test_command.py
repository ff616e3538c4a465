"""The `tallymark` command as a program: names, errors, exit codes; and the small rules of its process tree."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from infra.host.home import Home
from infra.host.java import find_java
from infra.host.lock import held, holder
from infra.host.ports import answers, require_free, trouble_with
from infra.system.child import restart_delay
from infra.system.processes import plans
from tallymark.__main__ import main
from tallymark.cli.table import COMMANDS, Entry
from tallymark.cli.terminal import ago
from tallymark.errors import ProcessError
from tallymark.settings import Address, Settings
from tests.support.systems import ROOT, environment, eventually, free_ports, settings_in


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]
LEAVES = [leaf for entry in COMMANDS for leaf in (entry.group or (entry,))]


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process, with `settings` as its environment."""
    for name in [name for name in os.environ if name.startswith("TALLYMARK_")]:
        monkeypatch.delenv(name)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["tallymark", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    return call


@pytest.mark.parametrize("entry", LEAVES, ids=lambda entry: entry.name)
def test_every_command_in_the_table_exists(entry: Entry) -> None:
    assert callable(getattr(import_module(entry.module), entry.function))


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_the_help_of_every_command_is_there(run: Run, entry: Entry) -> None:
    done = run(entry.name, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage" in done.out


def test_an_unknown_command_is_answered_with_the_nearest(run: Run) -> None:
    done = run("recompuet")
    assert done.code == 2
    assert "Did you mean 'recompute'?" in done.err


def test_an_error_is_explained_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYMARK_TRIGGER", "soon")
    done = run("status")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: these settings cannot be used:\n  - TALLYMARK_TRIGGER: 'soon'")


def test_an_error_is_json_for_who_asked_for_json(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYMARK_TRIGGER", "soon")
    told = json.loads(run("status", "--json").out)
    assert told["kind"] == "SettingsError"
    assert "TALLYMARK_TRIGGER" in told["error"]


def test_status_of_what_does_not_run_ends_with_3_and_says_what_to_do(run: Run, settings: Settings) -> None:
    done = run("status", "--json")
    told = json.loads(done.out)
    assert done.code == 3
    assert not told["running"]
    assert told["problems"] == [f"nothing runs in {settings.home}: `tallymark up` starts it"]
    assert not settings.home.exists()


def test_down_may_be_called_when_nothing_runs(run: Run) -> None:
    done = run("down", "--json")
    assert (done.code, json.loads(done.out)["stopped"]) == (0, False)


def test_up_names_who_has_the_port_and_which_setting_to_change(run: Run, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(settings.api)
        taken.listen()
        done = run("up")
    assert done.code == 1
    assert f"port {settings.api.port} is in use by process {os.getpid()}" in done.err
    assert "TALLYMARK_API" in done.err
    assert holder(Home(settings.home).lock) is None


@pytest.mark.parametrize("command", ["up", "doctor"])
def test_a_home_that_cannot_be_written_is_named_with_the_setting(
    run: Run, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TALLYMARK_HOME", str(tmp_path / "file" / "home"))
    done = run(command)
    assert done.code == 1
    assert "set TALLYMARK_HOME" in done.out + done.err


def test_doctor_finds_this_machine_fit(run: Run) -> None:
    done = run("doctor", "--json")
    told = json.loads(done.out)
    assert done.code == 0, told["checks"]
    assert [check["name"] for check in told["checks"]] == ["python", "java", "home", "disk", "memory", "api", "gateway"]


def test_doctor_does_not_show_tokens(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYMARK_TOKENS", "s3cret")
    monkeypatch.setenv("TALLYMARK_TOKEN", "s3cret-too")
    assert "s3cret" not in run("doctor").out


def test_ctrl_c_ends_without_a_traceback(settings: Settings) -> None:
    # up waits for a lock whose holder never becomes ready
    home = Home(settings.home)
    home.prepare()
    with held(home.lock):
        process = subprocess.Popen(
            [sys.executable, "-m", "tallymark", "up"],
            env=environment(settings),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        eventually(lambda: _is_waiting(process.pid), within=10)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=10)[0]
    assert process.returncode == 130
    assert "Traceback" not in said


def test_up_keeps_counts_exact_unless_that_is_off(settings: Settings) -> None:
    assert [plan.name for plan in plans(settings, canary=True)] == ["canary", "gateway", "stream", "api"]
    kept = plans(replace(settings, recount_every=timedelta(minutes=1)))
    assert [plan.name for plan in kept] == ["gateway", "keep-exact", "stream", "api"]
    assert kept[1].ready()


def test_restarts_come_later_and_later_up_to_half_a_minute() -> None:
    assert [restart_delay(crashes) for crashes in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_lock_says_who_holds_it_as_long_as_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    with held(path):
        assert holder(path) == os.getpid()
        with pytest.raises(ProcessError, match="already runs"), held(path, within=0.1):
            pass
    assert holder(path) is None


def test_a_port_without_a_server_does_not_answer() -> None:
    assert not answers(Address("127.0.0.1", free_ports(1)[0]))


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    trouble = trouble_with(Address("192.0.2.1", 8400))
    assert trouble is not None
    assert "192.0.2.1:8400" in trouble


def test_one_port_for_two_servers_is_refused(settings: Settings) -> None:
    with pytest.raises(ProcessError, match="both"):
        require_free(settings_in(settings.home, api=settings.gateway, gateway=settings.gateway))


def test_no_java_is_found_where_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("infra.host.java._FOLDERS", ())
    assert find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}) is None


def test_a_java_that_spark_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setattr("infra.host.java._FOLDERS", ())
    found = find_java({"JAVA_HOME": str(tmp_path), "PATH": ""})
    assert found is not None
    assert (found.major, found.supported) == (11, False)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.84, "0.8 s"), (12, "12 s"), (240, "4 min"), (10_800, "3 h"), (259_200, "3 d")],
)
def test_ages_are_told_with_as_many_digits_as_help(seconds: float, said: str) -> None:
    assert ago(seconds) == said


def _is_waiting(pid: int) -> bool:
    """Whether the process has done what it does at its start, and sleeps between looks."""
    import psutil

    process = psutil.Process(pid)
    began = process.cpu_times().user > 0.05
    return began and process.cpu_percent(0.3) < 25 and process.status() == psutil.STATUS_SLEEPING
