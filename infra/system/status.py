"""`tallymark status`: what runs, how fresh the views are, and where the exact part ends."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from infra.system.report import SystemReport, report
from tallymark.cli.terminal import ago, megabytes, say
from tallymark.documents.coverage import Known
from tallymark.settings import Settings

__all__ = ["status"]

_NOT_WELL = 3


def status(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show the processes, the progress of the archive and the speed layer, and what is published.

    Ends with 0 when all is well, and with 3 when something does not run or lags behind.

    Example: `tallymark status --json | jq .problems`
    """
    found = report(Settings.load(os.environ))
    if json:
        typer.echo(msgspec.json.encode(found))
    else:
        _show(found)
    if not found.well:
        raise typer.Exit(_NOT_WELL)


def _show(found: SystemReport) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("process", "state", "pid", "up", "memory", "restarts", box=None, padding=(0, 2, 0, 0))
    for process in found.processes:
        table.add_row(
            process.name,
            process.doing if process.doing == "ready" else f"[yellow]{process.doing}[/]",
            str(process.pid or "–"),
            "–" if process.uptime_s is None else ago(process.uptime_s),
            "–" if process.memory_bytes is None else megabytes(process.memory_bytes),
            f"{process.restarts}" + (f" (last: {process.last_exit})" if process.last_exit else ""),
        )
    if found.processes:
        Console().print(table)
        say()
    say(f"home       {found.home}")
    say(f"events     {found.gateway}")
    say(f"questions  {found.api}")
    say(f"logs       {found.home}/logs")
    if found.store_servers:
        shown = (f"{s.address} {'answers' if s.problem is None else 'is not used'}" for s in found.store_servers)
        say(f"store      {', '.join(shown)}")
    for name, layer in (("archive", found.archive), ("speed", found.speed)):
        if layer is not None:
            say(f"{name:9}  includes all that was appended before {layer.included_until:%F %T}, {ago(layer.lag_s)} ago")
    if found.publication is None:
        say(f"published  nothing yet: {_first_version(found)}")
    else:
        at = found.publication
        say(f"published  version {at.version}, exact until {at.exact_until:%F %H:%M}, at {at.published_at:%F %T} UTC")
    if found.coverage is not None:
        say(f"arrived    {_arrived(found.coverage)}")
    for canary in found.canaries:
        heard = ago((datetime.now(UTC) - canary.at).total_seconds())
        took = "failing" if canary.latency_ms is None else f"counted {canary.latency_ms / 1000:.1f} s after sending"
        say(f"canary     {canary.name}, {heard} ago: {took}")
    for problem in found.problems:
        say(f"problem    {problem}")
    if found.well:
        say("all is well")


def _first_version(found: SystemReport) -> str:
    if any(process.name == "keep-exact" for process in found.processes):
        return "the first exact version comes by itself, within minutes of the first event"
    return "`tallymark recompute` makes the first exact version"


def _arrived(found: Known) -> str:
    """What is known of events that never arrived."""
    lost = f"numbered events that never came: {found.missing:,}" if found.missing else "no numbered event is missing"
    silent = ", ".join(one.producer for one in found.silent)
    return f"{lost}{f'; silent: {silent}' if silent else ''}; looked through until {found.checked_until:%F %T}"
