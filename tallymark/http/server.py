"""How the gateway and the API are served: by uvicorn, until they are asked to end (ADR 23, ADR 57)."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from math import ceil, inf
from time import monotonic
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from tallymark.errors import ProcessError
from tallymark.http.guard import Guard
from tallymark.logs import begin_logs
from tallymark.settings import Address, Settings

__all__ = ["run", "serve"]


_OWN_FILES: Final = 200
_CLOSE: Final = (b"connection", b"close")
_GRACE_SECONDS: Final = 15  # less than a supervisor waits before it kills


def run(creates: Callable[[Settings, ExitStack], FastAPI], *, at: Callable[[Settings], Address], setting: str) -> None:
    """A server as a process: settings from the environment, logs, and `serve` until SIGTERM.

    `creates` opens what the application stands on, and leaves it on the stack to be closed at the end.
    """
    settings = Settings.load(os.environ)
    begin_logs(settings.logs)
    with ExitStack() as opened:
        serve(creates(settings, opened), at(settings), setting=setting, settings=settings)


def serve(app: FastAPI, at: Address, *, setting: str, settings: Settings) -> None:
    """Serve `app` until SIGTERM, finish the requests that are under way, and return.

    SIGINT then raises KeyboardInterrupt. Raises ProcessError when the address cannot be used; `setting` is the
    variable that changes it.
    """
    listener = _listen(at, setting, shared=settings.gateway_workers > 1 and at == settings.gateway)
    guard = Guard.of(settings, most=_files_for(settings.max_connections))
    guard.watch(app.state.registry)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=guard.protocol,  # type: ignore[arg-type]  # a class in all but name
        ws="none",
        access_log=False,
        log_config=None,  # see tallymark.logs
        server_header=False,
        timeout_keep_alive=ceil(guard.idle_s),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        callback_notify=guard.look,
        timeout_notify=0,  # at each look of uvicorn at its clock: once a second
    )
    # what is loaded by now stays: the collector need not walk it again, 20 ms in the middle of somebody's request
    gc.collect()
    gc.freeze()
    # uvicorn raises the signal once more when it is done; a wanted end is no death by signal
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        _Server(config, app, drain_s=settings.drain.total_seconds()).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """Once it is asked to end, it is not ready any more; for `drain_s` more it still takes what comes, and closes each
    connection with its next answer. Then it listens no longer, and what is under way gets its answer."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, *, drain_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_s = drain_s
        self._ends_at = inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.ending = True
        if sig == signal.SIGTERM and self._drain_s and self._ends_at == inf:
            self._ends_at = monotonic() + self._drain_s
            self._captured_signals.append(sig)
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        self.should_exit = self.should_exit or monotonic() >= self._ends_at
        ended = await super().on_tick(counter)
        if self._ends_at < inf and _CLOSE not in self.server_state.default_headers:
            self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]
        return ended


def _files_for(connections: int) -> int:
    """So many connections, or as many as this process may have files open, some of which it needs itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = connections + _OWN_FILES
    if soft < enough:
        soft = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, soft - _OWN_FILES))


def _listen(at: Address, setting: str, *, shared: bool) -> socket.socket:
    """`shared`: with other processes that say so too; the system deals connections out."""
    try:
        # with SO_REUSEADDR, so that a restart does not wait for old connections
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        place = (at.host.strip("[]"), at.port)
        return socket.create_server(place, family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        # Python adds the address to what the system says
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise ProcessError(
            f"cannot listen on {at.host}:{at.port}: {reason}; stop what uses it, or set {setting} to another address"
        ) from error
