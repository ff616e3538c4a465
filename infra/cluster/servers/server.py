"""A server as a value: what is written before its start, how it is started, and how it shows that it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Preparation", "Server", "jvm"]


class Preparation(NamedTuple):
    """A program that runs once before the first start, and makes the file `makes`."""

    arguments: tuple[str, ...]
    makes: Path


class Server(NamedTuple):
    """`arguments` are those of `java`. `listens` maps the names of all its ports to their numbers; clients connect to
    `port`. `probe` asks it something in its own protocol, and says what is wrong: None when it works."""

    name: str
    port: int
    listens: Mapping[str, int]
    folder: Path
    files: Mapping[str, str]
    arguments: tuple[str, ...]
    probe: Callable[[], str | None]
    needs: int | None = None  # a port on loopback that must take connections before the start
    preparation: Preparation | None = None


def jvm(jars: Path, *, heap: str, config: Path | None = None, flags: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Arguments of `java` up to the main class. A server that is out of memory ends, which is seen: none limps on."""
    classpath = ":".join(str(path) for path in (config, jars / "*") if path)
    return (f"-Xmx{heap}", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", *flags, "-cp", classpath)
