"""Where a running system keeps its files: `home/run` and `home/logs`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tallymark.errors import ProcessError

__all__ = ["Home"]


@dataclass(frozen=True)
class Home:
    """The folder `root` of one system; nothing is made until `prepare`."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "run" / "lock"

    @property
    def state(self) -> Path:
        return self.root / "run" / "state.json"

    @property
    def stream_ready(self) -> Path:
        """Made by the stream process once both of its queries run."""
        return self.root / "run" / "stream.ready"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders and prove that they can be written. Raises ProcessError."""
        try:
            for folder in (self.lock.parent, self.log("").parent):
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / ".writable"
                probe.write_bytes(bytes(4096))  # a full disk still takes an empty file
                probe.unlink()
        except OSError as error:
            raise ProcessError(
                f"cannot write to {error.filename or self.root}: {error.strerror}; make room or permit writing there, "
                f"or set TALLYMARK_HOME to another folder (now {self.root})"
            ) from error

    def fresh_log(self, name: str, *, larger_than: int = 0) -> None:
        """Begin a new log when there is one of more than so many bytes; that one stays as NAME.log.1."""
        log = self.log(name)
        if log.exists() and log.stat().st_size > larger_than:
            log.replace(log.with_name(f"{log.name}.1"))

    def log_tail(self, name: str, lines: int = 12) -> str:
        """The last lines of a log, indented, for an error message; empty when there is none."""
        log = self.log(name)
        if not log.is_file():
            return ""
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 16_384))
            text = stream.read().decode(errors="replace")
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
