"""`tallymark canary`: the service, or one round of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from tallymark.documents.canary import CanaryRound
from tallymark.settings import Settings, parse_duration

__all__ = ["DETECTED_WITHIN", "canary"]

_EVERY: Final = timedelta(seconds=60)
_WITHIN: Final = timedelta(seconds=20)
_NOT_WELL: Final = 3
DETECTED_WITHIN: Final = timedelta(minutes=2)
"""A part that stops right after a round is missed by the next one, which a part that hangs can make last 50 s."""
_STARTING: Final = 45.0  # seconds that gateway and API have, when the service starts with them
_PAUSE: Final = 0.5


def canary(
    once: Annotated[bool, typer.Option("--once", help="One round; ends with 3 when something is wrong.")] = False,
    every: Annotated[
        timedelta | None,
        typer.Option(parser=parse_duration, metavar="TIME", show_default="60s", help="How often a round begins."),
    ] = None,
    within: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="TIME", show_default="20s", help="How soon events must be in answers."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="service, or once", help="Of this canary; two of one name confuse each other."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="A line of JSON for each round.")] = False,
) -> None:
    """Send a few events through the gateway and see that the API counts them, every minute, until SIGTERM.

    When they do not come through, an alert goes to the log and to the setting `alert_webhook`, within two minutes. The
    videos' ids begin with `canary:`.

    Example: `tallymark canary --once`
    """
    from tallymark.logs import begin_logs

    settings = Settings.load(os.environ)
    begin_logs(settings.logs)
    called = name or ("once" if once else "service")
    stop = threading.Event()
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        _wait_until_ready(settings, stop)
    while not stop.is_set():
        began = time.monotonic()
        found = _round(settings, called, within or _WITHIN, stop)
        _show(found, json=json)
        if once:
            raise typer.Exit(0 if found.well else _NOT_WELL)
        stop.wait(max(0.0, (every or _EVERY).total_seconds() - (time.monotonic() - began)))


def _wait_until_ready(settings: Settings, stop: threading.Event) -> None:
    from infra.host.ports import answers

    until = time.monotonic() + _STARTING
    while time.monotonic() < until and not stop.is_set():
        if answers(settings.gateway) and answers(settings.api):
            return
        stop.wait(_PAUSE)


def _round(settings: Settings, name: str, within: timedelta, stop: threading.Event) -> CanaryRound:
    from infra.canary.memory import Memory
    from infra.canary.notify import alert_on_change, record
    from infra.canary.path import PublicPath
    from infra.canary.probe import run_round

    kept = settings.home / "run" / f"canary-{name}.json"
    memory = Memory.read(kept)
    with PublicPath(settings) as path:
        found = run_round(path, memory, name=name, within=within, now=lambda: datetime.now(UTC), sleep=stop.wait)
    if not stop.is_set():  # what fails while everything stops is no news
        alert_on_change(found, memory, settings)
        memory.write(kept)
        record(found, memory, settings)
    return found


def _show(found: CanaryRound, *, json: bool) -> None:
    if json:
        import msgspec

        typer.echo(msgspec.json.encode(found))
        return
    at = f"{found.at:%Y-%m-%d %H:%M:%S}"
    if found.well:
        typer.echo(
            f"{at} well: {found.sent} events counted {(found.latency_ms or 0) / 1000:.1f} s after they were sent"
        )
    else:
        typer.echo(f"{at} {found.part}: {found.trouble}")
