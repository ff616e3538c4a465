"""Parts brought up side by side: all of them, or none of those that this call started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Final

from infra.cluster.part import Part
from infra.cluster.questions import takes_connections
from infra.cluster.site import Site, run_java
from infra.host.home import Home
from infra.host.process import end, process_of, spawn
from tallymark.errors import ProcessError

__all__ = ["launch"]

READY_WITHIN: Final = 120.0
_PAUSE: Final = 0.1
_PREPARED_WITHIN: Final = 60.0


def launch(
    parts: Sequence[Part], at: Site, *, then: Mapping[str, Callable[[], None]], say: Callable[[str], None]
) -> None:
    """Bring up `parts`, those that run already too, and call `then` of each when it is ready.

    Raises ProcessError with the end of the log of the first that does not come up; the others are ended again, except
    what ran before.
    """
    give_up = threading.Event()
    ran = {part.name for part in parts if process_of(part.name, at.home)}
    try:
        with ThreadPoolExecutor(len(parts), thread_name_prefix="launch") as pool:
            try:
                starts = [
                    pool.submit(_bring_up, part, at, then=then.get(part.name), say=say, give_up=give_up)
                    for part in parts
                ]
                for start in wait(starts, return_when=FIRST_EXCEPTION).done:
                    start.result()
            except BaseException:
                give_up.set()
                raise
    except BaseException:  # Ctrl-C as well
        for part in parts:
            if part.name not in ran:
                end(part.name, at.home, grace=0)
        raise


def _bring_up(
    part: Part, at: Site, *, then: Callable[[], None] | None, say: Callable[[str], None], give_up: threading.Event
) -> None:
    began = time.monotonic()
    if process_of(part.name, at.home) is None:
        _write(part)
        _prepare(part, at)
        if part.needs is not None and not _holds(lambda: takes_connections(part.needs or 0), give_up=give_up):
            raise ProcessError(f"{part.name} was not started: what it needs did not come up on port {part.needs}")
        if give_up.is_set():
            return
        spawn(part.name, (at.java, *part.arguments), home=at.home, environment=at.environment)
    _wait_until_ready(part, at, give_up)
    if then is not None and not give_up.is_set():
        then()
    if not give_up.is_set():
        say(f"{part.name} is ready on port {part.port}, {time.monotonic() - began:.1f} s")


def _write(part: Part) -> None:
    """Configurations hold keys: only their owner can read them."""
    part.folder.mkdir(parents=True, exist_ok=True)
    for name, text in part.files.items():
        path = part.folder / name
        path.touch(mode=0o600)
        path.write_text(text)


def _prepare(part: Part, at: Site) -> None:
    if part.preparation is None or part.preparation.makes.exists():
        return
    done = run_java(part.preparation.arguments, at, within=_PREPARED_WITHIN)
    if done.returncode:
        raise ProcessError(f"{part.name} could not be prepared:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _wait_until_ready(part: Part, at: Site, give_up: threading.Event) -> None:
    def trouble() -> str | None:
        if process_of(part.name, at.home) is None and not give_up.is_set():
            raise ProcessError(f"{part.name} ended by itself; {_end_of_log(part.name, at.home)}")
        return part.trouble()

    if not _holds(trouble, give_up=give_up) and not give_up.is_set():
        raise ProcessError(
            f"{part.name} was not ready within {READY_WITHIN:.0f} s ({part.trouble()}); "
            f"{_end_of_log(part.name, at.home)}"
        )


def _holds(trouble: Callable[[], str | None], *, give_up: threading.Event) -> bool:
    """Wait until there is no trouble; False when there still is after READY_WITHIN, or somebody gave up."""
    deadline = time.monotonic() + READY_WITHIN
    while trouble() is not None:
        if time.monotonic() > deadline or give_up.wait(_PAUSE):
            return False
    return True


def _end_of_log(name: str, home: Home) -> str:
    path: Path = home.log(name)
    return f"the end of {path}:\n{home.log_tail(name, lines=20)}"
