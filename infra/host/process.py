"""Servers as processes that outlive the command which started them: found again by what is noted in `infra/run`.

Each leads a session of its own and carries the cluster's folder in its environment. A note names a process id and the
time of its start; what does not match all three is somebody else's, and is left alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import psutil

from infra.host.home import Home
from infra.host.sessions import end_session, members

__all__ = ["end", "noted", "process_of", "spawn"]

_PAUSE: Final = 0.05


class _Note(msgspec.Struct, frozen=True):
    pid: int
    started_at: float  # epoch seconds


def spawn(name: str, command: Sequence[str], *, home: Home, environment: Mapping[str, str]) -> None:
    """Start `command`, which writes to a fresh log, and note it. Raises OSError."""
    home.fresh_log(name)
    started_at = time.time()
    with home.log(name).open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**environment, "TALLYMARK_HOME": str(home.root)},
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    scratch = _note(name, home).with_suffix(".new")
    scratch.write_bytes(msgspec.json.encode(_Note(process.pid, started_at)))
    scratch.replace(_note(name, home))


def process_of(name: str, home: Home) -> psutil.Process | None:
    """The server of that name, None when it does not run."""
    note = _read(name, home)
    if note is None:
        return None
    with suppress(ChildProcessError):  # it may be a child of this very process, and dead
        os.waitpid(note.pid, os.WNOHANG)
    found = members(note.pid, home=home.root, since=note.started_at)
    return next((process for process in found if process.pid == note.pid), None)


def end(name: str, home: Home, *, grace: float) -> bool:
    """Ask the server to end, wait `grace` seconds, then kill it (without grace at once). True when it ran."""
    note = _read(name, home)
    if note is None:
        return False
    process = process_of(name, home)
    if process is not None and grace:
        deadline = time.monotonic() + grace
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)  # one that was stopped could not end
            process.terminate()
        while process_of(name, home) is not None and time.monotonic() < deadline:
            time.sleep(_PAUSE)
    end_session(note.pid, home=home.root, since=note.started_at)
    process_of(name, home)
    _note(name, home).unlink(missing_ok=True)
    return process is not None


def noted(home: Home) -> list[str]:
    """The names of all servers that were started and not ended."""
    return sorted(path.stem for path in (home.root / "run").glob("*.json"))


def _note(name: str, home: Home) -> Path:
    return home.root / "run" / f"{name}.json"


def _read(name: str, home: Home) -> _Note | None:
    try:
        return msgspec.json.decode(_note(name, home).read_bytes(), type=_Note)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
