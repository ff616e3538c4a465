"""What `tallymark up` shows while the system starts, and what to do once it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from infra.system.state import ProcessState, SystemState
from tallymark.cli.terminal import say

__all__ = ["next_steps", "showing_start"]


@contextmanager
def showing_start(*, quiet: bool) -> Iterator[Callable[[SystemState], None]]:
    """Shows how the start goes: call the yielded function with each new state."""
    if quiet:
        yield lambda _: None
        return
    console = Console()
    shown: set[str] = set()
    with console.status("Starting …") as status:

        def show(state: SystemState) -> None:
            for process in state.processes:
                if process.ready and process.name not in shown:
                    shown.add(process.name)
                    console.print(f"[green]✓[/] {process.name} is ready", highlight=False)
            waiting = [_progress(process) for process in state.processes if not process.ready]
            status.update(f"Starting {', '.join(waiting)} …" if waiting else "Ready")

        yield show


def next_steps(state: SystemState, *, ran_already: bool, tokens: bool) -> None:
    token = "-H 'Authorization: Bearer TOKEN' " if tokens else ""
    fields = {"event_id": "$RANDOM", "type": "view", "video_id": "intro", "occurred_at": "$(date -u +%FT%TZ)"}
    event = json.dumps(fields).replace('"', '\\"')  # for double quotes, in which the shell puts id and time in
    say(f"Tallymark {'runs already' if ran_already else 'runs'}, in {state.home}")
    say(f"  events     {state.gateway}   described at {state.gateway}/docs")
    say(f"  questions  {state.api}   described at {state.api}/docs")
    say()
    header = "-H 'Content-Type: application/json'"
    say(f'  send   curl {token}{header} {state.gateway}/v1/events -d "{event}"')
    say(f"  ask    curl {token}'{state.api}/v1/count?video_id=intro&type=view&last=1h'")
    say("  look   tallymark status")
    say("  stop   tallymark down")


def _progress(process: ProcessState) -> str:
    if process.last_exit is None:
        return process.name
    return f"{process.name} (crashed {process.restarts + (process.pid is None)} times, {process.last_exit})"
