"""`tallymark doctor`: is this machine fit to run Tallymark, and what is to be done if it is not?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import psutil
import typer

from infra.host.home import Home
from infra.host.java import find_java, how_to_install
from infra.host.ports import trouble_with
from infra.system.processes import running
from tallymark.cli.terminal import say
from tallymark.errors import ProcessError
from tallymark.settings import Settings, describe

__all__ = ["Check", "doctor"]

_GB: Final = 10**9
_DISK: Final = 2 * _GB
_MEMORY: Final = 3 * _GB  # what the demo takes at most


class Check(msgspec.Struct, frozen=True):
    """`todo` says what to do; when `ok` it is advice, and mostly empty."""

    name: str
    ok: bool
    found: str
    todo: str = ""


def doctor(json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check Python, Java, ports, disk and memory, and show the settings in force.

    Ends with 0 when Tallymark can run here, and with 1 when something must be mended.

    Example: `tallymark doctor`
    """
    settings = Settings.load(os.environ)
    found = _checks(settings, os.environ)
    in_force = settings.environment()
    if settings.tokens:
        in_force["TALLYMARK_TOKENS"] = f"({len(settings.tokens)}, not shown)"
    if settings.token:
        in_force["TALLYMARK_TOKEN"] = "(not shown)"  # noqa: S105
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


def _checks(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    home = Home(settings.home)
    return [
        _python(),
        _java(environment),
        _home(home),
        _disk(home.root),
        _memory(),
        _port("api", "TALLYMARK_API", settings, home),
        _port("gateway", "TALLYMARK_GATEWAY", settings, home),
    ]


def _python() -> Check:
    found = f"Python {platform.python_version()} in {sys.executable}"
    if (3, 11) <= sys.version_info < (3, 14):
        return Check("python", True, found)
    return Check("python", False, found, "install Python 3.11, 3.12 or 3.13 and run `make setup PYTHON=python3.11`")


def _java(environment: Mapping[str, str]) -> Check:
    java = find_java(environment)
    if java is None:
        return Check("java", False, "no Java was found", how_to_install())
    found = f"Java {java.version} in {java.home}"
    if not java.supported:
        return Check("java", False, found, f"Spark needs Java 17 or 21: {how_to_install()}")
    named = environment.get("JAVA_HOME")
    if named and Path(named).resolve() != java.home.resolve():
        return Check(
            "java", True, found, f"JAVA_HOME names {named}, which Spark cannot use; `up` takes this one instead"
        )
    return Check("java", True, found)


def _home(home: Home) -> Check:
    try:
        home.prepare()
    except ProcessError as error:
        return Check("home", False, f"{home.root} cannot be written", str(error))
    return Check("home", True, f"{home.root} can be written")


def _disk(folder: Path) -> Check:
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    todo = "" if free >= _DISK else f"make room, or set TALLYMARK_HOME to a disk with {_DISK / _GB:.0f} GB free"
    return Check("disk", free >= _DISK, f"{free / _GB:.1f} GB free in {folder}", todo)


def _memory() -> Check:
    memory = psutil.virtual_memory()
    todo = (
        ""
        if memory.available >= _MEMORY
        else f"close something: the system and a recount take up to {_MEMORY / _GB:.0f} GB"
    )
    found = f"{memory.available / _GB:.1f} of {memory.total / _GB:.1f} GB available"
    return Check("memory", memory.total >= _MEMORY, found, todo)


def _port(name: str, variable: str, settings: Settings, home: Home) -> Check:
    address = {"api": settings.api, "gateway": settings.gateway}[name]
    state = running(home)
    if state is not None and address.url in {state.api, state.gateway}:
        return Check(name, True, f"{address.url} is served by this system")
    trouble = trouble_with(address)
    if trouble is None:
        return Check(name, True, f"{address.url} is free")
    return Check(name, False, trouble, f"stop that, or set {variable} to another address")
