"""`tallymark up` and `tallymark down`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Annotated, Final

import msgspec
import typer

from infra.host.home import Home
from infra.host.lock import holder
from infra.host.ports import require_free
from infra.system.processes import child_environment, clear_leftovers, plans, running, tallymark_command
from infra.system.startup import next_steps, showing_start
from infra.system.state import SystemState
from infra.system.supervisor import GRACE, supervise
from tallymark.cli.terminal import say
from tallymark.errors import ProcessError
from tallymark.settings import Settings

__all__ = ["down", "up"]

_SUPERVISOR: Final = "supervisor"
_READY_WITHIN: Final = 180.0
_HOPELESS: Final = 3  # crashes of a process that has never been ready
_PAUSE: Final = 0.1

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here; Ctrl-C stops everything.")] = False,
    canary: Annotated[bool, typer.Option("--canary", help="Send canary events too, and alert when they fail.")] = False,
    json: _Json = False,
) -> None:
    """Start the gateway, the stream and the API, and wait until they can do their work; keep counts exact meanwhile.

    They run in the background, are started again when they crash, and end with `tallymark down`. When they run
    already, this says where. What changed is recounted every minute, unless the setting `recount_every` says otherwise.

    Example: `TALLYMARK_HOME=/srv/counts tallymark up`
    """
    settings = Settings.load(os.environ)
    home = Home(settings.home)
    if foreground:
        _run_here(settings, home, canary=canary)
        return
    home.prepare()
    ran_already = holder(home.lock) is not None
    supervisor = None if ran_already else _launch(settings, home, canary=canary)
    try:
        state = _wait_until_ready(home, supervisor, quiet=json)
    except KeyboardInterrupt:
        typer.echo("It goes on in the background: see `tallymark status`, or end it with `tallymark down`.", err=True)
        raise
    if json:
        typer.echo(msgspec.json.encode(state))
        return
    next_steps(state, ran_already=ran_already, tokens=settings.own_token is not None)


def down(json: _Json = False) -> None:
    """Stop what `tallymark up` started: first the gateway, so that all that it accepted can still be read.

    Example: `tallymark down`
    """
    settings = Settings.load(os.environ)
    home = Home(settings.home)
    supervisor = holder(home.lock)
    if supervisor is not None:
        _stop(supervisor, home)
    left = clear_leftovers(home)
    if json:
        typer.echo(msgspec.json.encode({"stopped": supervisor is not None, "left_over_processes_ended": left}))
    elif supervisor is not None:
        say(f"Tallymark has stopped; what it keeps is in {home.root}")
    else:
        say("Tallymark does not run" + (f"; ended {left} processes that a dead supervisor had left" if left else ""))


def _run_here(settings: Settings, home: Home, *, canary: bool) -> None:
    environment = _ready_to_start(settings, home)
    supervise(settings, plans(settings, canary=canary), environment=environment)


def _launch(settings: Settings, home: Home, *, canary: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session of its own, so that it outlives this terminal."""
    environment = _ready_to_start(settings, home)
    home.fresh_log(_SUPERVISOR)
    with home.log(_SUPERVISOR).open("ab") as log:
        return subprocess.Popen(
            tallymark_command("up", "--foreground", *(("--canary",) if canary else ())),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _ready_to_start(settings: Settings, home: Home) -> dict[str, str]:
    """The environment of the children. Raises ProcessError with what stands in the way, before anything is started."""
    home.prepare()
    clear_leftovers(home)
    if holder(home.lock) is None:
        require_free(settings)
    return child_environment(settings, os.environ)


def _wait_until_ready(home: Home, supervisor: subprocess.Popen[bytes] | None, *, quiet: bool) -> SystemState:
    deadline = time.monotonic() + _READY_WITHIN
    with showing_start(quiet=quiet) as show:
        while time.monotonic() < deadline:
            state = running(home)
            if state is not None:
                show(state)
                if state.ready:
                    return state
                _refuse_hopeless(state, home)
            elif supervisor is not None and supervisor.poll() is not None:
                raise ProcessError(f"the supervisor could not start:\n{home.log_tail(_SUPERVISOR)}")
            time.sleep(_PAUSE)
    raise ProcessError(
        f"not ready within {_READY_WITHIN:.0f} s; it goes on trying: see `tallymark status` and the logs in "
        f"{home.log('').parent}, or end it with `tallymark down`"
    )


def _refuse_hopeless(state: SystemState, home: Home) -> None:
    """A first start that crashes again and again is a mistake to mend, not something to wait for: stop all of it."""
    for process in state.processes:
        if process.restarts >= _HOPELESS and not process.ready and process.pid is None:
            _stop(state.supervisor, home)
            raise ProcessError(
                f"{process.name} crashed {process.restarts + 1} times ({process.last_exit}) and everything was stopped "
                f"again; the end of {process.log}:\n{home.log_tail(process.name)}"
            )


def _stop(supervisor: int, home: Home) -> None:
    """End the supervisor and, through it, its children. Returns when nobody holds the lock any more."""
    try:
        state = running(home)
        os.kill(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + (len(state.processes) if state else 5) * GRACE + 10  # each child in its turn
        while holder(home.lock) == supervisor:
            if time.monotonic() > deadline:
                os.kill(supervisor, signal.SIGKILL)  # its children see that and end; the rest is cleared
            time.sleep(_PAUSE)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise ProcessError(
            f"the supervisor, process {supervisor}, belongs to another user; stop it as that one"
        ) from error
