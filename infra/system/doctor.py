"""`tallymark doctor`: is this machine fit to run Tallymark, and what is to be done if it is not?"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer

from infra.system.checks import Check, checks
from tallymark.cli.terminal import say
from tallymark.settings import Settings, describe

__all__ = ["doctor"]


def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check Python, Java, ports, disk and memory, and show the settings in force.

    Ends with 0 when Tallymark can run here, and with 1 when something must be mended.

    Example: `tallymark doctor`
    """
    settings = Settings.load(os.environ)
    found = checks(settings, os.environ)
    in_force = settings.environment()
    if settings.tokens:
        in_force["TALLYMARK_TOKENS"] = f"({len(settings.tokens)}, not shown)"
    well = all(check.ok for check in found)
    if json:
        typer.echo(msgspec.json.encode({"well": well, "checks": found, "settings": in_force}))
    else:
        _show(found, in_force)
    if not well:
        raise typer.Exit(1)


def _show(found: list[Check], in_force: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    for check in found:
        say(f"{'✓' if check.ok else '✗'} {check.name:8} {check.found}")
        if check.todo:
            say(f"  {'':8} → {check.todo}")
    say()
    usual = Settings().environment()
    table = Table("setting", "in force", "what it says", box=None, padding=(0, 2, 0, 0))
    for _, variable, _, says in describe():
        value = in_force[variable]
        table.add_row(variable, value or "(empty)", says, style="dim" if value == usual[variable] else "")
    Console().print(table)
