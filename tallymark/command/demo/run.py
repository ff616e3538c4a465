"""`tallymark demo`: the stage is set, the story told, and everything put away again."""

from __future__ import annotations

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from json import dumps as json_text
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from tallymark.command.demo.drive import Driver
from tallymark.command.demo.memory import MemoryWatch
from tallymark.command.demo.results import Account
from tallymark.command.demo.stage import Stage
from tallymark.command.demo.story import BEGIN, Story
from tallymark.command.demo.truth import read_flights
from tallymark.command.home import Home
from tallymark.command.ports import free_address
from tallymark.command.show import megabytes
from tallymark.errors import ProcessError, TallymarkError
from tallymark.settings import Settings

__all__ = ["demo"]

_YEAR: Final = 365
_Keep = Annotated[bool, typer.Option("--keep", help="Leave the system running at the end.")]
_Days = Annotated[int, typer.Option(min=4, max=_YEAR, help="Replay only so many days of the year.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; all else goes to standard error.")]


def demo(keep: _Keep = False, days: _Days = _YEAR, json: _Json = False) -> None:
    """Count a year of real events twice, fresh and exact, and compare with the truth.

    All flights that left New York in 2013 are sent over HTTP as events, as late as they were and some of them twice,
    to a system that is started for it in the folder `demo` of home. It asks while they arrive, recounts twice, and
    checks every exact answer against a plain loop over the file. Ends with 1 when one differs by one event.

    Example: `tallymark demo --keep`
    """
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _end)
    stage = Stage(Console(stderr=json))
    settings = _settings(Settings.load(os.environ), stage)
    driver = Driver(settings)
    _clear(settings, driver)
    with MemoryWatch(settings.home) as memory:
        try:
            account = _run(settings, driver, days=days, stage=stage)
        except BaseException as error:
            driver.call("down")
            if isinstance(error, TallymarkError):
                raise ProcessError(f"{error}\nthe demo's logs are in {Home(settings.home).log('').parent}") from error
            raise
    if not keep:
        with stage.waiting("stopping"):
            driver.call("down")
        shutil.rmtree(settings.home)
    took = time.monotonic() - began
    stage.say(f"\nIn all {took:.0f} s, at most {megabytes(memory.peak)} of memory with everything that was started.")
    if keep:
        _show_where(settings, _keep_settings(settings), stage)
    if json:
        measured = {"wall_s": round(took, 1), "peak_memory_bytes": memory.peak}
        typer.echo(msgspec.json.encode(msgspec.to_builtins(account) | measured))
    if not account.well:
        raise typer.Exit(1)


def _end(number: int, _: FrameType | None) -> None:
    """A demo that is told to end takes its system along, as with Ctrl-C."""
    raise SystemExit(128 + number)


def _run(settings: Settings, driver: Driver, *, days: int, stage: Stage) -> Account:
    stage.act("Starting the gateway, the stream and the API")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as meanwhile, stage.waiting("tallymark up"):
        start = meanwhile.submit(driver.call, "up")
        flights = read_flights()
        if days < _YEAR:
            flights = flights.delivered_before(int((BEGIN + timedelta(days=days)).timestamp()))
        start.result()
    stage.say(
        f"ready in {time.monotonic() - began:.1f} s; events to {settings.gateway.url}, questions to {settings.api.url}"
    )
    account = Story(settings, flights, days=days, stage=stage).tell()
    stage.act("What speed said, what batch says, and the truth")
    stage.comparison(account)
    return account


def _settings(given: Settings, stage: Stage) -> Settings:
    """A system of its own, embedded, that takes events of 2013 and waits an hour for late ones."""
    api, gateway = free_address(given.api), free_address(given.gateway)
    for name, wanted, taken in (("API", given.api, api), ("gateway", given.gateway, gateway)):
        if wanted != taken:
            stage.say(f"port {wanted.port} is in use, so the demo's {name} listens on {taken.port}")
    return replace(
        given,
        home=given.home / "demo",
        log="sqlite:",
        store="sqlite:",
        raw="",
        api=api,
        gateway=gateway,
        lateness=timedelta(hours=1),
        archive_trigger=timedelta(seconds=5),
        max_age=None,
    )


def _clear(settings: Settings, driver: Driver) -> None:
    """End and remove what an earlier demo left."""
    if not settings.home.exists():
        return
    if not Home(settings.home).lock.exists():
        raise ProcessError(f"{settings.home} is not from a demo; remove it, or set TALLYMARK_HOME to another folder")
    driver.call("down")
    shutil.rmtree(settings.home)


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


def _show_where(settings: Settings, file: Path, stage: Stage) -> None:
    api = settings.api.url
    year = "start=2013-01-01T00:00:00Z&end=2014-01-01T00:00:00Z"
    stage.say(f"It still runs; questions to {api}, described at {api}/docs, for example")
    stage.say(f"  curl '{api}/v1/series?video_id=ATL&{year}&grain=month'")
    stage.say("Commands find it, and the last one ends it, with")
    stage.say(f"  export TALLYMARK_CONFIG={file}")
    stage.say("  tallymark status; tallymark versions; tallymark down")
