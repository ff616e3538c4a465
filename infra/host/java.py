"""The Java that Spark runs on: found, or how to install it here."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from infra.host.program import run
from tallymark.errors import ProcessError

__all__ = ["Java", "find_java", "how_to_install"]

SUPPORTED: Final = (17, 21)  # Spark 4 runs on these; the tests run on the first
_VERSION = re.compile(r'version "(\d+)([^"]*)"')
_FOLDERS: Final = (
    "/usr/lib/jvm",
    "/Library/Java/JavaVirtualMachines",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/opt/java",
)


class Java(NamedTuple):
    home: Path
    major: int
    version: str

    @property
    def supported(self) -> bool:
        return self.major in SUPPORTED


def find_java(environment: Mapping[str, str]) -> Java | None:
    """The first supported Java of: JAVA_HOME, the path, the usual folders. If there is none, the first of any version,
    so that it can be named; None when there is no Java at all."""
    first = None
    for home in dict.fromkeys(_candidates(environment)):
        java = _look(home)
        if java is not None and java.supported:
            return java
        first = first or java
    return first


def how_to_install() -> str:
    """The command for this machine."""
    if platform.system() == "Darwin":
        return "brew install openjdk@17"
    if shutil.which("apt-get"):
        return "sudo apt-get install openjdk-17-jre-headless (or openjdk-21-jre-headless)"
    if shutil.which("dnf"):
        return "sudo dnf install java-17-openjdk-headless (or java-21-openjdk-headless)"
    if shutil.which("apk"):
        return "sudo apk add openjdk17-jre-headless"
    if shutil.which("pacman"):
        return "sudo pacman -S jre17-openjdk-headless"
    return "install a Java 17 runtime, for example Eclipse Temurin, and set JAVA_HOME to it"


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    if environment.get("JAVA_HOME"):
        yield Path(environment["JAVA_HOME"])
    on_path = shutil.which("java", path=environment.get("PATH"))
    if on_path:
        yield Path(on_path).resolve().parent.parent
    for folder in map(Path, _FOLDERS):
        for java in sorted(folder.glob("*/bin/java")) + sorted(folder.glob("*/Contents/Home/bin/java")):
            yield java.resolve().parent.parent


def _look(home: Path) -> Java | None:
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return None
    try:
        done = run((java, "-version"), within=20)
    except (OSError, ProcessError):
        return None
    match = _VERSION.search(done.stderr)
    return Java(home, int(match[1]), match[1] + match[2]) if match else None
