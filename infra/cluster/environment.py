"""What servers need of this machine (a Java, and their jars or the Maven that fetches them), and what they get."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from subprocess import CompletedProcess
from typing import Final, NamedTuple

from infra.cluster.jars import require_maven
from infra.host.home import Home
from infra.host.java import Java, find_java, how_to_install
from infra.host.program import run
from tallymark.errors import ProcessError

__all__ = ["Environment", "environment_of", "lacks", "require_java", "require_machine", "run_java"]

_OUTER: Final = ("TALLYMARK_", "LIFELINE_FD", "KAFKA_", "HBASE_", "CLASSPATH", "JAVA_TOOL_OPTIONS")


class Environment(NamedTuple):
    """Where servers run: their folder, the `java` program, and the variables that they get."""

    home: Home
    java: str
    variables: Mapping[str, str]


def lacks() -> list[str]:
    """What is missing here, each with how to install it; empty when nothing is.

    Whether Maven reaches a repository is not asked: that shows when jars are fetched.
    """
    needs: tuple[Callable[[], object], ...] = (require_java, require_maven)
    return [trouble for need in needs if (trouble := _trouble(need))]


def require_machine() -> None:
    """Raises ProcessError that names all that is missing."""
    missing = lacks()
    if missing:
        raise ProcessError("nothing was started:\n" + "\n".join(f"  - {each}" for each in missing))


def require_java() -> Java:
    """The Java that the servers run on. Raises ProcessError that says how to install one."""
    java = find_java(os.environ)
    if java is None or not java.supported:
        found = f"the one found is {java.version} in {java.home}" if java else "no Java was found"
        raise ProcessError(f"Kafka and HBase need Java 17 or 21, {found}; install it: {how_to_install()}")
    return java


def environment_of(home: Home) -> Environment:
    """Raises ProcessError as `require_java` does."""
    java = require_java()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OUTER)}
    return Environment(home, str(java.home / "bin" / "java"), {**kept, "JAVA_HOME": str(java.home)})


def run_java(arguments: Sequence[str], environment: Environment, *, within: float) -> CompletedProcess[str]:
    """Run a Java program to its end. Raises ProcessError when it takes longer than `within` seconds."""
    command = (environment.java, *arguments)
    return run(command, within=within, environment=environment.variables, folder=environment.home.root)


def _trouble(need: Callable[[], object]) -> str | None:
    try:
        need()
    except ProcessError as error:
        return str(error)
    return None
