"""A program run to its end, within a time limit."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tallymark.errors import ProcessError

__all__ = ["run"]


def run(
    command: Sequence[str | Path],
    *,
    within: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """What `command` printed, and how it ended, which is for the caller to judge. It reads nothing.

    Raises ProcessError with the end of its words when it takes longer than `within` seconds, OSError when it cannot be
    started.
    """
    try:
        return subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProcessError(
            f"{Path(command[0]).name} took longer than {within:.0f} s and was stopped: {command[-1]}; its end:\n"
            f"{(error.stderr or b'').decode(errors='replace')[-2000:]}"
        ) from error
