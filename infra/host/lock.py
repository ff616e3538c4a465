"""Which supervisor runs a home: the one that holds the lock. The kernel lets go of it when the process ends, however
that happens, so a lock that is held means a supervisor that lives."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tallymark.errors import ProcessError

__all__ = ["held", "holder"]

_WITHIN: Final = 2.0  # seconds; `holder` itself takes the lock for a moment
_PAUSE: Final = 0.05
_SUPERVISOR: Final = "another supervisor already runs this home; see `tallymark status`"


@contextmanager
def held(path: Path, *, within: float = _WITHIN, by: str = _SUPERVISOR) -> Iterator[None]:
    """Hold the lock, with this process's id in the file. Raises ProcessError when another holds it for `within` s;
    `by` says who that may be.

    Children do not inherit it (PEP 446), so it cannot outlive this process.
    """
    with path.open("a+b") as file:
        _acquire(file.fileno(), path, within=within, by=by)
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        yield
        file.truncate(0)


def holder(path: Path) -> int | None:
    """The process id of the supervisor that holds the lock, None when nobody does."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise ProcessError(f"cannot read {path}: the system in there belongs to another user") from error
    with file:
        deadline = time.monotonic() + _WITHIN
        while True:
            if _try(file.fileno(), fcntl.LOCK_SH):
                return None
            file.seek(0)
            written = file.read()
            if written.isdigit() and _lives(int(written)):
                return int(written)
            if time.monotonic() > deadline:
                raise ProcessError(f"{path} is locked, but its holder has not said who it is; try again")
            time.sleep(_PAUSE)


def _acquire(descriptor: int, path: Path, *, within: float, by: str) -> None:
    deadline = time.monotonic() + within
    while not _try(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            raise ProcessError(f"{by} (it holds {path})")
        time.sleep(_PAUSE)


def _try(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
