"""One process of the system: started, looked after, started again when it crashes, and ended with all it started."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from infra.host.home import Home
from infra.host.sessions import end_session
from infra.system.state import ProcessState

__all__ = ["Child", "Plan", "restart_delay"]

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
_LARGE_LOG: Final = 10_000_000  # bytes: one that crashes again and again must not fill the disk
HEALTHY: Final = 60.0  # seconds after which earlier crashes are forgotten


class Plan(NamedTuple):
    """What to run, and how to see that it can do its work. `prepare` is called before each start."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    prepare: Callable[[], object] = lambda: None


def restart_delay(crashes: int) -> float:
    """Seconds to wait after that many crashes in a row: 0.5, 1, 2 … 30."""
    return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (crashes - 1))


class Child:
    """`lifeline` is the descriptor of a pipe whose other end the supervisor keeps (see `lifeline`).

    `step` is called a few times a second and never blocks for long. `say` takes lines for the supervisor's log.
    """

    def __init__(
        self, plan: Plan, home: Home, *, environment: Mapping[str, str], lifeline: int, say: Callable[[str], None]
    ) -> None:
        self.plan = plan
        self._home = home
        self._environment = {**environment, "LIFELINE_FD": str(lifeline), "PYTHONUNBUFFERED": "1"}
        self._lifeline = lifeline
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._session: int | None = None
        self._started_at = 0.0
        self._due = 0.0
        self._ready = False
        self._crashes = 0
        self._starts = 0
        self._last_exit: str | None = None
        self._last_exit_at: datetime | None = None

    def step(self) -> None:
        if self._process is None:
            if time.monotonic() >= self._due:
                self._start()
            return
        code = self._process.poll()
        if code is not None:
            self._crashed(code)
        elif not self._ready and self.plan.ready():
            self._ready = True
            self._say(f"{self.plan.name} is ready, {time.time() - self._started_at:.1f} s after its start")

    def stop(self, grace: float) -> None:
        """Ask it to end, wait `grace` seconds, then kill it; either way with all that it started."""
        self._ready = False
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._note_exit(self._process.wait(grace))
        except subprocess.TimeoutExpired:
            self._say(f"{self.plan.name} did not end within {grace:.0f} s and is killed")
            self._process.kill()
            self._note_exit(self._process.wait())
        self._clear()
        self._say(f"{self.plan.name} ended: {self._last_exit}")

    def state(self) -> ProcessState:
        running = self._process is not None
        return ProcessState(
            name=self.plan.name,
            pid=self._process.pid if self._process else None,
            session=self._session,
            started_at=datetime.fromtimestamp(self._started_at, UTC) if running else None,
            ready=self._ready,
            restarts=max(0, self._starts - 1),
            last_exit=self._last_exit,
            last_exit_at=self._last_exit_at,
            log=str(self._home.log(self.plan.name)),
        )

    def _start(self) -> None:
        self._started_at = time.time()
        try:
            self._process = self._spawn()
        except OSError as error:  # no memory, no room for the log: it may pass
            self._last_exit = f"not started: {error.strerror}"
            self._last_exit_at = datetime.now(UTC)
            self._start_later(lived=0.0)
            return
        self._session = self._process.pid
        self._starts += 1
        self._say(f"{self.plan.name} started, process {self._process.pid}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.plan.prepare()
        self._home.fresh_log(self.plan.name, larger_than=_LARGE_LOG)
        with self._home.log(self.plan.name).open("ab") as log:
            return subprocess.Popen(
                self.plan.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._lifeline,),
                start_new_session=True,
            )

    def _crashed(self, code: int) -> None:
        lived = time.time() - self._started_at
        self._note_exit(code)
        self._clear()
        self._start_later(lived=lived)

    def _start_later(self, *, lived: float) -> None:
        self._crashes = 1 if lived >= HEALTHY else self._crashes + 1
        delay = restart_delay(self._crashes)
        self._due = time.monotonic() + delay
        self._say(
            f"{self.plan.name} ended by itself after {lived:.1f} s ({self._last_exit}); "
            f"it starts again in {delay:g} s, its log is {self._home.log(self.plan.name)}"
        )

    def _note_exit(self, code: int) -> None:
        self._last_exit = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        self._last_exit_at = datetime.now(UTC)

    def _clear(self) -> None:
        """A dead leader leaves a JVM and Spark's workers for a moment: the next start must not meet them."""
        if self._session is not None:
            end_session(self._session, home=self._home.root, since=self._started_at)
        self._process = None
        self._ready = False
