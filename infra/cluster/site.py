"""Where parts run: a folder, a Java, and the environment that they get."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from subprocess import CompletedProcess
from typing import Final, NamedTuple

from infra.host.home import Home
from infra.host.java import Java, find_java, how_to_install
from infra.host.program import run
from tallymark.errors import ProcessError

__all__ = ["Site", "require_java", "run_java", "site"]

_OUTER: Final = ("TALLYMARK_", "LIFELINE_FD", "KAFKA_", "HBASE_", "CLASSPATH", "JAVA_TOOL_OPTIONS")


class Site(NamedTuple):
    """Where parts run: their folder, the `java` program, and the environment that they get."""

    home: Home
    java: str
    environment: Mapping[str, str]


def require_java() -> Java:
    """The Java that the servers run on. Raises ProcessError that says how to install one."""
    java = find_java(os.environ)
    if java is None or not java.supported:
        found = f"the one found is {java.version} in {java.home}" if java else "no Java was found"
        raise ProcessError(f"Kafka and HBase need Java 17 or 21, {found}; install it: {how_to_install()}")
    return java


def site(home: Home) -> Site:
    """Raises ProcessError as `require_java` does."""
    java = require_java()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OUTER)}
    return Site(home, str(java.home / "bin" / "java"), {**kept, "JAVA_HOME": str(java.home)})


def run_java(arguments: Sequence[str], at: Site, *, within: float) -> CompletedProcess[str]:
    """Run a Java program to its end. Raises ProcessError when it takes longer than `within` seconds."""
    return run((at.java, *arguments), within=within, environment=at.environment, folder=at.home.root)
