"""Runs the system as a person would: by `tallymark` commands, each a process of its own."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Final

import msgspec

from infra.system import child_environment, tallymark_command
from infra.system.report import report, stored
from tallymark.cells import STEP_MS
from tallymark.client.wire import ReplayReport
from tallymark.errors import ProcessError, Unavailable
from tallymark.settings import Settings

__all__ = ["CommandRunner", "ReplayReport"]

_CAUGHT_UP_WITHIN: Final = 120.0
_PAUSE: Final = 0.2


class CommandRunner:
    """Runs commands on the system of `settings`, with all else from `environment`."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = child_environment(settings, environment)

    def call(self, *arguments: str) -> Any:
        """Run a command to its end and return the JSON document that it prints. Raises ProcessError with its words."""
        with self._run(*arguments) as output:
            said = output.read()
        return msgspec.json.decode(said)

    def replay(self, *arguments: str, each: Callable[[ReplayReport], object]) -> ReplayReport:
        """Replay flights to the end; `each` is told how far it has come, about twice a second."""
        at = ReplayReport()
        with self._run("replay", "nycflights13", *arguments) as output:
            for line in output:
                at = msgspec.json.decode(line, type=ReplayReport)
                each(at)
        return at

    def wait_until_included(self) -> None:
        """Return when the archive and the speed layer have taken in all that was accepted before this call, and a
        recount would count it: it counts whole steps of the log's time."""
        since = datetime.now(UTC) + timedelta(milliseconds=STEP_MS)
        deadline = time.monotonic() + _CAUGHT_UP_WITHIN
        while True:
            now = stored(self._settings)
            if all(layer is not None and layer.included_until > since for layer in (now.archive, now.speed)):
                return
            if time.monotonic() > deadline:
                problems = "; ".join(report(self._settings).problems) or "none that `tallymark status` knows of"
                raise Unavailable(f"not caught up within {_CAUGHT_UP_WITHIN:.0f} s; problems: {problems}")
            time.sleep(_PAUSE)

    @contextmanager
    def _run(self, *arguments: str) -> Iterator[IO[bytes]]:
        """The output of `tallymark ARGUMENTS --json`; raises ProcessError when it fails."""
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                tallymark_command(*arguments, "--json"),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            assert process.stdout is not None
            try:
                yield process.stdout
            except BaseException:
                process.terminate()
                raise
            if process.wait() != 0:
                errors.seek(0)
                words = errors.read().decode(errors="replace").strip()
                raise ProcessError(f"tallymark {' '.join(arguments)} failed: {words.removeprefix('error: ')}")
