"""The supervisor: starts the processes of the system, keeps them running, and ends them in order.

It holds the lock of its home for as long as it lives and writes its state whenever something changes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import FrameType
from typing import Final

from infra.host.home import Home
from infra.host.lock import held
from infra.system.child import Child, Plan
from infra.system.state import ProcessState, SystemState
from tallymark.settings import Settings

__all__ = ["supervise"]

GRACE: Final = 20.0  # seconds that each child has for a clean end
_PAUSE: Final = 0.2


def supervise(settings: Settings, plans: Sequence[Plan], *, environment: Mapping[str, str]) -> None:
    """Run `plans` until SIGTERM, SIGINT or SIGHUP, then end them in the order given. Called in the main thread.

    Raises ProcessError when another supervisor runs this home, or the home cannot be written.
    """
    home = Home(settings.home)
    home.prepare()
    stop = _StopSignals()
    with held(home.lock):
        for plan in plans:
            home.fresh_log(plan.name)
        lifeline, kept = os.pipe()
        children = [Child(plan, home, environment=environment, lifeline=lifeline, say=_say) for plan in plans]
        started_at = datetime.now(UTC)
        written: SystemState | None = None
        try:
            while not stop.asked:
                for child in children:
                    child.step()
                state = _state(settings, started_at, [child.state() for child in children])
                if state != written and _write(state, home):
                    written = state
                time.sleep(_PAUSE)
        finally:
            _say(f"stopping: {stop.asked or 'the supervisor failed'}")
            for child in children:
                child.stop(GRACE)
            home.state.unlink(missing_ok=True)
            os.close(kept)
            os.close(lifeline)


class _StopSignals:
    """`asked` names the signal that asked this process to stop, None as long as nobody did."""

    def __init__(self) -> None:
        self.asked: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.asked = signal.Signals(number).name


def _state(settings: Settings, started_at: datetime, processes: list[ProcessState]) -> SystemState:
    return SystemState(
        supervisor=os.getpid(),
        started_at=started_at,
        home=str(settings.home),
        api=settings.api.url,
        gateway=settings.gateway.url,
        processes=processes,
    )


def _write(state: SystemState, home: Home) -> bool:
    """A full disk must not end what still runs: the state is written again at the next step."""
    try:
        state.write(home.state)
    except OSError as error:
        _say(f"cannot write {home.state}: {error.strerror}")
        return False
    return True


def _say(line: str) -> None:
    with suppress(OSError):  # the log lies on the same disk
        print(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}", file=sys.stderr, flush=True)
