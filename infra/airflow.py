"""`tallymark airflow up`, `down` and `cli`: a small Airflow on this machine, on loopback only, with the DAGs in dags/.

Airflow's own `standalone` also starts servers that listen on every address; so its parts are started one by one: API
server, scheduler and DAG processor, over an SQLite file, as for one machine it is enough. They live in the virtual
environment that `make airflow` makes, and run `tallymark` in this one (ADR 40).
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from json import dumps, loads
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from infra.host.home import Home
from infra.host.ports import answers, trouble_with
from infra.host.process import end, process_of, spawn
from infra.system import child_environment
from tallymark.cli.terminal import say
from tallymark.errors import ProcessError
from tallymark.settings import Address, Settings

__all__ = ["airflow_environment", "cli", "down", "up"]

_CODE: Final = Path(__file__).resolve().parents[1]
_VENV: Final = _CODE / ".venv-airflow"
_SETTINGS: Final = _CODE / "infra" / "airflow_settings"
_PARTS: Final = {
    "airflow-api": ("api-server",),
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
    "airflow-dags": ("dag-processor",),
}
_READY_WITHIN: Final = 120.0
_GRACE: Final = 15.0
_PAUSE: Final = 0.5
_AT: Final = Address("127.0.0.1", 8480)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def up(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="Where its pages are, on 127.0.0.1.")] = _AT.port,
    json: _Json = False,
) -> None:
    """Start Airflow with the DAGs recompute, audit, maintain and canary, and print where it is and how to log in.

    Their commands run with the settings of this one. What runs already is left as it is.

    Example: `tallymark airflow up`
    """
    settings = Settings.load(os.environ)
    home = Home(settings.home)
    home.prepare()
    at = Address(_AT.host, port)
    environment = airflow_environment(settings, at)
    _start(home, at, environment)
    login = {"url": at.url, "user": "admin", "password": _password(settings)}
    if json:
        typer.echo(dumps(login))
        return
    say(f"Airflow runs at {login['url']}")
    say(f"  login  {login['user']}, password {login['password']}")
    say(f"  logs   {home.log('airflow-…')}")
    say("  stop   tallymark airflow down")
    if settings.recount_every is not None:
        say("  `tallymark up` recounts by itself too: with TALLYMARK_RECOUNT_EVERY=off, it leaves that to the DAGs")


def down(json: _Json = False) -> None:
    """Stop Airflow. Tasks that run are ended, give back what they hold, and are tried again after the next start.

    Example: `tallymark airflow down`
    """
    home = Home(Settings.load(os.environ).home)
    _end_tasks(home)
    # the scheduler next, which waits until they are on record, and starts no others
    ended = [name for name in ("airflow-scheduler", "airflow-dags", "airflow-api") if end(name, home, grace=_GRACE)]
    _end_tasks(home)
    if json:
        typer.echo(dumps({"stopped": ended}))
    else:
        say("Airflow has stopped" if ended else "Airflow does not run")


def cli(
    arguments: Annotated[list[str], typer.Argument(metavar="-- ARGUMENTS", help="As of the command `airflow`.")],
) -> None:
    """Run a command of this Airflow's own, such as a backfill: days are counted again, the last one not included.

    Example: `tallymark airflow cli -- backfill create --dag-id recompute --from-date 2026-01-01 --to-date 2026-01-04`
    """
    environment = airflow_environment(Settings.load(os.environ), _AT)
    os.execve(_VENV / "bin" / "airflow", ["airflow", *arguments], environment)  # noqa: S606 - there is no shell


def airflow_environment(settings: Settings, at: Address) -> dict[str, str]:
    """The environment of Airflow and of the commands in its tasks; AIRFLOW__… variables that are set stay as they are.

    Raises ProcessError where Airflow is not installed.
    """
    if not (_VENV / "bin" / "airflow").exists():
        raise ProcessError(f"there is no Airflow in {_VENV}: `make airflow` installs it")
    inherited = child_environment(replace(settings, recount_every=None), os.environ)  # here the DAGs recount
    code = inherited.pop("PYTHONPATH")  # is not for Airflow: the commands take it along themselves
    command = ("env", f"PYTHONPATH={code}", sys.executable, "-m", "tallymark")
    folder = settings.home / "airflow"
    chosen = {
        "AIRFLOW__API__HOST": at.host,
        "AIRFLOW__API__PORT": str(at.port),
        "AIRFLOW__API__BASE_URL": at.url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": _secret(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_CODE / "dags"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        # what ran when all of it was killed is found and tried again in about a minute, not in five
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    }
    return {
        **chosen,
        **inherited,
        "PATH": f"{_VENV / 'bin'}{os.pathsep}{inherited.get('PATH', '')}",
        "PYTHONPATH": str(_SETTINGS),
        "RUN_TALLYMARK": shlex.join(command),
        "AIRFLOW_HOME": str(folder),
        "SPT_NOENV": "1",  # it names its processes, in the place where their environment is: by that we know them
    }


def _end_tasks(home: Home) -> None:
    """End the commands that tasks run: each has a session of its own, and would go on without Airflow."""
    mine = str(home.root / "airflow")
    commands = [
        each
        for each in psutil.process_iter()
        if (found := _environment(each)).get("AIRFLOW_HOME") == mine and "AIRFLOW_CTX_DAG_ID" in found
    ]
    for command in commands:
        with suppress(psutil.Error):
            command.terminate()
    for left in psutil.wait_procs(commands, timeout=_GRACE)[1]:
        with suppress(psutil.Error):
            left.kill()


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        found: dict[str, str] = process.environ()
    except psutil.Error:
        return {}
    return found


def _start(home: Home, at: Address, environment: dict[str, str]) -> None:
    missing = [name for name in _PARTS if process_of(name, home) is None]
    if "airflow-api" in missing and (trouble := trouble_with(at)):
        raise ProcessError(f"Airflow was not started: {trouble}; choose another --port")
    airflow = str(_VENV / "bin" / "airflow")
    done = subprocess.run([airflow, "db", "migrate"], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessError(f"Airflow's database could not be made:\n{(done.stdout + done.stderr)[-2000:]}")
    for name in missing:
        spawn(name, (airflow, *_PARTS[name]), home=home, environment=environment)
    until = time.monotonic() + _READY_WITHIN
    while not answers(at, "/api/v2/monitor/health"):
        ended = next((name for name in _PARTS if process_of(name, home) is None), None)
        if ended or time.monotonic() > until:
            log = ended or "airflow-api"
            raise ProcessError(f"Airflow did not come up; the end of {home.log(log)}:\n{home.log_tail(log)}")
        time.sleep(_PAUSE)


def _password(settings: Settings) -> str:
    """Airflow makes one for `admin` when it first starts."""
    path = settings.home / "airflow" / "simple_auth_manager_passwords.json.generated"
    return str(loads(path.read_text())["admin"]) if path.is_file() else f"in {path}"


def _secret(folder: Path) -> str:
    """By which its parts know each other; the same from start to start."""
    path = folder / "jwt-secret"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text()
