"""The checks of `tallymark doctor`, each a fact about this machine with what to do about it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil

from infra.host.home import Home
from infra.host.java import find_java, how_to_install
from infra.host.ports import trouble_with
from infra.system.processes import running
from tallymark.errors import ProcessError
from tallymark.settings import Settings

__all__ = ["Check", "checks"]

_GB: Final = 10**9
_DISK: Final = 2 * _GB
_MEMORY: Final = 3 * _GB  # what the demo takes at most


class Check(msgspec.Struct, frozen=True):
    """`todo` says what to do; when `ok` it is advice, and mostly empty."""

    name: str
    ok: bool
    found: str
    todo: str = ""


def checks(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
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
