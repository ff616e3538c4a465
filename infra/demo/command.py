"""`tallymark demo`: a system is started, the scenario run, and everything put away again."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from json import dumps as json_text
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from infra.demo.display import Display
from infra.demo.memory import MemoryWatch
from infra.demo.mode import Mode, choose_mode
from infra.demo.results import Account
from infra.demo.runner import CommandRunner
from infra.demo.scenario import BEGIN, Scenario
from infra.demo.truth import read_flights
from infra.host.home import Home
from infra.host.ports import free_address
from tallymark.cli.terminal import megabytes
from tallymark.errors import ProcessError, TallymarkError
from tallymark.settings import Settings

__all__ = ["demo"]

_YEAR: Final = 365
_Keep = Annotated[bool, typer.Option("--keep", help="Leave the system running at the end.")]
_Days = Annotated[int, typer.Option(min=4, max=_YEAR, help="Replay only so many days of the year.")]
_Cluster = Annotated[
    bool, typer.Option("--cluster", help="On Kafka, HBase and S3, which are started for it, instead of on files.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; all else goes to standard error.")]


def demo(keep: _Keep = False, days: _Days = _YEAR, cluster: _Cluster = False, json: _Json = False) -> None:
    """Count a year of real events twice, fresh and exact, and compare with the truth.

    All flights that left New York in 2013 are sent over HTTP as events, as late as they were and some of them twice,
    to a system that is started for it in the folder `demo` of home (`demo-cluster` with --cluster). It asks while they
    arrive, recounts twice, and checks every exact answer against a plain loop over the file. Ends with 1 when one
    differs by one event.

    Example: `tallymark demo --keep`
    """
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _end)
    display = Display(Console(stderr=json))
    given = Settings.load(os.environ)
    mode = choose_mode(given.home, cluster=cluster)
    _clear(mode, given)
    with MemoryWatch(mode.homes) as memory, ExitStack() as running:
        running.callback(mode.put_away)
        environment = mode.prepare(display)
        settings = _settings(Settings.load(environment), mode.home, display)
        runner = CommandRunner(settings, environment)
        running.callback(runner.call, "down")
        with _with_logs(settings.home):
            account = _run(settings, runner, days=days, display=display)
        if keep:
            running.pop_all()
        else:
            with display.waiting("stopping"):
                running.close()
            shutil.rmtree(settings.home)
    took = time.monotonic() - began
    display.say(f"\nIn all {took:.0f} s, at most {megabytes(memory.peak)} of memory with everything that was started.")
    if keep:
        _show_where(settings, display)
        mode.keep(_keep_settings(settings), display)
    if json:
        measured = {"wall_s": round(took, 1), "peak_memory_bytes": memory.peak}
        typer.echo(msgspec.json.encode(msgspec.to_builtins(account) | measured))
    if not account.well:
        raise typer.Exit(1)


def _end(number: int, _: FrameType | None) -> None:
    """A demo that is asked to end takes its system along, as with Ctrl-C."""
    raise SystemExit(128 + number)


@contextmanager
def _with_logs(home: Path) -> Iterator[None]:
    """Errors say where to look."""
    try:
        yield
    except TallymarkError as error:
        raise ProcessError(f"{error}\nthe demo's logs are in {Home(home).log('').parent}") from error


def _run(settings: Settings, runner: CommandRunner, *, days: int, display: Display) -> Account:
    display.heading("Starting the gateway, the stream and the API")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as meanwhile, display.waiting("tallymark up"):
        start = meanwhile.submit(runner.call, "up")
        flights = read_flights()
        if days < _YEAR:
            flights = flights.delivered_before(int((BEGIN + timedelta(days=days)).timestamp()))
        start.result()
    display.say(
        f"ready in {time.monotonic() - began:.1f} s; events to {settings.gateway.url}, questions to {settings.api.url}"
    )
    account = Scenario(settings, flights, runner=runner, days=days, display=display).run()
    display.heading("What speed said, what batch says, and the truth")
    display.comparison(account)
    return account


def _settings(given: Settings, home: Path, display: Display) -> Settings:
    """Those of a system of its own, that takes events of 2013, waits an hour for late ones, and is recounted when the
    story comes to it."""
    api, gateway = free_address(given.api), free_address(given.gateway)
    for name, wanted, taken in (("API", given.api, api), ("gateway", given.gateway, gateway)):
        if wanted != taken:
            display.say(f"port {wanted.port} is in use, so the demo's {name} listens on {taken.port}")
    return replace(
        given,
        home=home,
        api=api,
        gateway=gateway,
        stream_metrics=free_address(given.stream_metrics),
        lateness=timedelta(hours=1),
        archive_trigger=timedelta(seconds=5),
        recount_every=None,
        max_age=None,
    )


def _clear(mode: Mode, given: Settings) -> None:
    """End and remove what an earlier demo left."""
    home = mode.home
    if not home.exists():
        return
    if not any(Home(folder).lock.exists() for folder in (home, home / "infra")):
        raise ProcessError(f"{home} is not from a demo; remove it, or set TALLYMARK_HOME to another folder")
    CommandRunner(replace(given, home=home), os.environ).call("down")
    mode.clear()
    shutil.rmtree(home)


def _keep_settings(settings: Settings) -> Path:
    """A file that makes every command speak to the demo's system."""
    usual = Settings().environment()
    lines = [
        f"{variable.removeprefix('TALLYMARK_').lower()} = {json_text(value)}"
        for variable, value in settings.environment().items()
        if value != usual[variable]
    ]
    file = settings.home / "tallymark.toml"
    file.write_text("\n".join([*lines, ""]))
    return file


def _show_where(settings: Settings, display: Display) -> None:
    api = settings.api.url
    year = "start=2013-01-01T00:00:00Z&end=2014-01-01T00:00:00Z"
    display.say(f"It still runs; questions to {api}, described at {api}/docs, for example")
    display.say(f"  curl '{api}/v1/series?video_id=ATL&{year}&grain=month'")
