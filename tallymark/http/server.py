"""How the gateway and the API are served: by uvicorn, until they are asked to end (ADR 23)."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import uvicorn
from fastapi import FastAPI

from tallymark.errors import ProcessError
from tallymark.logs import begin_logs
from tallymark.settings import Address, Settings

__all__ = ["run", "serve"]


_GRACE_SECONDS: Final = 5
_KEEP_ALIVE_SECONDS: Final = 75  # longer than clients and proxies keep theirs, so that they never meet a closing one


def run(creates: Callable[[Settings, ExitStack], FastAPI], *, at: Callable[[Settings], Address], setting: str) -> None:
    """A server as a process: settings from the environment, logs, and `serve` until SIGTERM.

    `creates` opens what the application stands on, and leaves it on the stack to be closed at the end.
    """
    settings = Settings.load(os.environ)
    begin_logs(settings.logs)
    with ExitStack() as opened:
        serve(creates(settings, opened), at(settings), setting=setting)


def serve(app: FastAPI, at: Address, *, setting: str) -> None:
    """Serve `app` until SIGTERM, finish the requests that are under way, and return.

    SIGINT then raises KeyboardInterrupt. Raises ProcessError when the address cannot be used; `setting` is the
    variable that changes it.
    """
    listener = _listen(at, setting)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,  # see tallymark.logs
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    # what is loaded by now stays: the collector need not walk it again, 20 ms in the middle of somebody's request
    gc.collect()
    gc.freeze()
    # uvicorn raises the signal once more when it is done; a wanted end is no death by signal
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(at: Address, setting: str) -> socket.socket:
    try:
        # with SO_REUSEADDR, so that a restart does not wait for old connections
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        return socket.create_server((at.host.strip("[]"), at.port), family=family, backlog=2048)
    except OSError as error:
        # Python adds the address to what the system says
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise ProcessError(
            f"cannot listen on {at.host}:{at.port}: {reason}; stop what uses it, or set {setting} to another address"
        ) from error
