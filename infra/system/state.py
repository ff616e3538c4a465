"""What the supervisor says about itself, in `home/run/state.json`: written by it alone, read by everybody."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from infra.host.home import Home

__all__ = ["ProcessState", "SystemState", "read_state"]


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """One child. `pid` is None between a crash and the next start; `session` is that of the last start."""

    name: str
    pid: int | None
    session: int | None
    started_at: datetime | None
    ready: bool
    restarts: int
    last_exit: str | None
    last_exit_at: datetime | None
    log: str


class SystemState(msgspec.Struct, frozen=True, kw_only=True):
    supervisor: int
    started_at: datetime
    home: str
    api: str
    gateway: str
    processes: list[ProcessState]

    @property
    def ready(self) -> bool:
        return all(process.ready for process in self.processes)

    def write(self, path: Path) -> None:
        """Readers see the state before or this one, never half of it."""
        scratch = path.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(self))
        scratch.replace(path)


def read_state(home: Home) -> SystemState | None:
    """The last state that was written, by a supervisor that may be gone; None when there is none."""
    try:
        stored = home.state.read_bytes()
        return msgspec.json.decode(stored, type=SystemState)
    except (FileNotFoundError, NotADirectoryError, PermissionError, msgspec.DecodeError):
        return None
